"""What every term keeps, whatever it penalises: one line here tests a new one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.hyper import hypers, split
from devae_jax.models.discriminator import discriminator
from devae_jax.objectives import TERMS, gaussian
from devae_jax.types import Latents, Posterior

GIVEN = {  # what has no default or what `build` fills in, kept small
    "pressure": {"betas": 2.0},
    "deft_pressure": {"betas": [3.0, 2.0, 1.0], "stage_steps": 10.0},
    "total_correlation": {"dataset_size": 1000},
    "density_ratio": {"discriminator": discriminator, "width": 8, "depth": 2},
}
BATCH, DIM = 8, 4


def given(name, num_layers):
    """Arguments without a default; a capacity for each layer."""
    capacities = {"capacities": [9.0 / (i + 1) for i in range(num_layers)]}
    return capacities if name == "capacity" else GIVEN.get(name, {})


def make_latents(key, num_layers):
    keys = jax.random.split(key, 3)
    shape = (num_layers, BATCH, DIM)
    posterior = Posterior(
        mean=jax.random.normal(keys[0], shape), logvar=jax.random.normal(keys[1], shape) - 1
    )
    z = gaussian.sample(posterior, jax.random.normal(keys[2], shape))
    return Latents(posterior=posterior, z=z, kl=gaussian.kl(posterior).mean(axis=1))


def numbers(name, num_layers):
    """The term's traced arguments at their defaults, as `build` makes them."""
    own = given(name, num_layers)
    provided = [k for k, v in own.items() if callable(v)]
    plain = {k: v for k, v in own.items() if k not in provided}
    return split(TERMS[name], plain, name, num_layers=num_layers, provided=provided)[1]


@pytest.mark.parametrize("name", TERMS)
def test_traced_once_with_constant_state(name, num_layers=3):
    static = {k: v for k, v in given(name, 3).items() if k not in hypers(TERMS[name])}
    hyper = numbers(name, num_layers)
    traces = []

    def step(hyper, params, carry, latents, key, step):
        traces.append(1)
        term = TERMS[name](**static, **hyper)

        def total(params, latents):
            value, (new, metrics) = term.apply(params, carry, latents, key, step)
            return value.sum(), (value, new, metrics)

        grads, aux = jax.grad(total, argnums=(0, 1), has_aux=True)(params, latents)
        return grads, *aux

    step = jax.jit(step)
    init = jax.jit(lambda: TERMS[name](**static, **hyper).init(jax.random.key(0), DIM, num_layers))
    params, carry = init()
    first = jax.tree.map(lambda x: (x.shape, x.dtype), carry)
    keys = None
    for t in range(3):
        batch = make_latents(jax.random.key(t), num_layers)
        grads, value, carry, metrics = step(
            hyper, params, carry, batch, jax.random.key(10 + t), jnp.int32(1000 * t)
        )
        assert value.shape == (num_layers,)
        assert value.dtype == jnp.float32
        assert jax.tree.map(lambda x: (x.shape, x.dtype), carry) == first
        assert keys in (None, metrics.keys())
        keys = metrics.keys()
        assert all(m.shape in ((), (num_layers,)) for m in metrics.values())
        assert all(np.isfinite(g).all() for g in jax.tree.leaves((grads, value)))
        hyper = jax.tree.map(lambda x: (x * 1.5).astype(x.dtype), hyper)
    assert len(traces) == 1


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"density_ratio"}))  # draws for all at once
def test_layers_are_independent(name):
    """The value of layer 0 does not depend on the other layers."""
    static = {k: v for k, v in given(name, 3).items() if k not in hypers(TERMS[name])}
    batch = make_latents(jax.random.key(0), 3)

    def value(num_layers):
        term = TERMS[name](**static, **numbers(name, num_layers))
        params, carry = term.init(jax.random.key(0), DIM, num_layers)
        own = jax.tree.map(lambda x: x[:num_layers], batch)
        return term.apply(params, carry, own, jax.random.key(1), jnp.int32(5))[0][0]

    np.testing.assert_allclose(*jax.jit(lambda: (value(1), value(3)))(), rtol=1e-6)


NUMBERS = [(name, number) for name in TERMS for number in hypers(TERMS[name])]


@functools.cache
def history(name):
    """hyperparameters -> everything that a term says over 60 steps, schedules shortened."""
    static = {k: v for k, v in given(name, 2).items() if k not in hypers(TERMS[name])}
    batch = make_latents(jax.random.key(0), 2)

    @jax.jit
    def run(hyper):
        term = TERMS[name](**static, **hyper)
        params, carry = term.init(jax.random.key(1), DIM, 2)

        def step(carry, t):
            loss = lambda z: term.apply(  # noqa: E731
                params, carry, dataclasses.replace(batch, z=z), jax.random.key(2), t
            )
            (value, (carry, metrics)), gradient = (
                loss(batch.z),
                jax.grad(lambda z: loss(z)[0].sum())(batch.z),
            )
            return carry, (value, metrics, gradient)

        return jax.lax.scan(step, carry, jnp.arange(60))

    return run


@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_every_number_does_something(name, number):
    """One hyperparameter changed alone changes a value, a metric, a gradient or the state."""
    hyper = numbers(name, 2)
    lengths = {"warmup_steps": 5.0, "interval_steps": 6.0, "ramp_steps": 3.0}
    for key in hyper:
        if key.endswith("_steps"):
            hyper[key] = np.float32(lengths.get(key, 30.0))
    reaches_bounds = {
        "control_vae": {"beta_max": np.float32(1.02), "target": np.float32(1.0)},
        "dynamic_vae": {"beta_start": np.float32(1.1), "target": np.float32(60.0)},
    }
    hyper |= reaches_bounds.get(name, {})
    other = hyper | {number: (hyper[number] * 1.3 + (hyper[number] == 0)).astype(np.float32)}
    before, after = (jax.tree.leaves(history(name)(h)) for h in (hyper, other))
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
