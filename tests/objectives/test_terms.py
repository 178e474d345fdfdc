"""What every term keeps, whatever it penalises: one line here tests a new one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import TERMS, gaussian
from devae_jax.program.hyper import signature, split
from devae_jax.types import Context, Latents, Posterior

GIVEN = {  # what has no default, and small networks
    "pressure": {"betas": 2.0},
    "deft_pressure": {"betas": [3.0, 2.0, 1.0], "stage_steps": 10.0},
    "density_ratio": {"width": 8, "depth": 2},
}
BATCH, DIM = 8, 4


def options(name, num_layers):
    """(static options, numbers) at their defaults, or small; a capacity for each layer."""
    capacities = {"capacities": [9.0 / (i + 1) for i in range(num_layers)]}
    given = capacities if name == "capacity" else GIVEN.get(name, {})
    return split(TERMS[name], given, name, num_layers=num_layers)


def make(name, num_layers, static, numbers):
    context = Context((8, 8, 1), DIM, num_layers, dataset_size=1000)
    return TERMS[name](context, **static, **numbers)


def make_latents(key, num_layers):
    keys = jax.random.split(key, 3)
    shape = (num_layers, BATCH, DIM)
    posterior = Posterior(
        mean=jax.random.normal(keys[0], shape), logvar=jax.random.normal(keys[1], shape) - 1
    )
    z = gaussian.sample(posterior, jax.random.normal(keys[2], shape))
    return Latents(posterior=posterior, z=z, kl=gaussian.kl(posterior).mean(axis=1))


@pytest.mark.parametrize("name", TERMS)
def test_traced_once_with_constant_state(name, num_layers=3):
    static, numbers = options(name, num_layers)
    traces = []

    def step(numbers, params, carry, latents, key, step):
        traces.append(1)
        term = make(name, num_layers, static, numbers)

        def total(params, latents):
            value, (new, metrics) = term.apply(params, carry, latents, key, step)
            return value.sum(), (value, new, metrics)

        grads, aux = jax.grad(total, argnums=(0, 1), has_aux=True)(params, latents)
        return grads, *aux

    step = jax.jit(step)
    params, carry = jax.jit(make(name, num_layers, static, numbers).init)(jax.random.key(0))
    first = jax.tree.map(lambda x: (x.shape, x.dtype), carry)
    keys = None
    for t in range(3):
        batch = make_latents(jax.random.key(t), num_layers)
        grads, value, carry, metrics = step(
            numbers, params, carry, batch, jax.random.key(10 + t), jnp.int32(1000 * t)
        )
        assert value.shape == (num_layers,)
        assert value.dtype == jnp.float32
        assert jax.tree.map(lambda x: (x.shape, x.dtype), carry) == first
        assert keys in (None, metrics.keys())
        keys = metrics.keys()
        assert all(m.shape in ((), (num_layers,)) for m in metrics.values())
        assert all(np.isfinite(g).all() for g in jax.tree.leaves((grads, value)))
        numbers = jax.tree.map(lambda x: (x * 1.5).astype(x.dtype), numbers)
    assert len(traces) == 1


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"density_ratio"}))  # draws for all at once
def test_layers_are_independent(name):
    """The value of layer 0 does not depend on the other layers."""
    batch = make_latents(jax.random.key(0), 3)

    def value(num_layers):
        term = make(name, num_layers, *options(name, num_layers))
        params, carry = term.init(jax.random.key(0))
        layers = jax.tree.map(lambda x: x[:num_layers], batch)
        return term.apply(params, carry, layers, jax.random.key(1), jnp.int32(5))[0][0]

    np.testing.assert_allclose(*jax.jit(lambda: (value(1), value(3)))(), rtol=1e-6)


NUMBERS = [(name, number) for name in TERMS for number in signature(TERMS[name]).hypers]


@functools.cache
def history(name):
    """numbers -> everything that a term says over 60 steps, schedules shortened."""
    static, _ = options(name, 2)
    batch = make_latents(jax.random.key(0), 2)

    @jax.jit
    def run(numbers):
        term = make(name, 2, static, numbers)
        params, carry = term.init(jax.random.key(1))

        def step(carry, t):
            def total(z):
                latents = dataclasses.replace(batch, z=z)
                value, aux = term.apply(params, carry, latents, jax.random.key(2), t)
                return value.sum(), (value, aux)

            gradient, (value, (carry, metrics)) = jax.grad(total, has_aux=True)(batch.z)
            return carry, (value, metrics, gradient)

        return jax.lax.scan(step, carry, jnp.arange(60))

    return run


@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_every_number_does_something(name, number):
    """One hyperparameter changed alone changes a value, a metric, a gradient or the state."""
    _, numbers = options(name, 2)
    lengths = {"warmup_steps": 5.0, "interval_steps": 6.0, "ramp_steps": 3.0}
    for key in numbers:
        if key.endswith("_steps"):
            numbers[key] = np.float32(lengths.get(key, 30.0))
    reaches_bounds = {
        "control_vae": {"beta_max": np.float32(1.02), "target": np.float32(1.0)},
        "dynamic_vae": {"beta_start": np.float32(1.1), "target": np.float32(60.0)},
    }
    numbers |= reaches_bounds.get(name, {})
    other = numbers | {number: (numbers[number] * 1.3 + (numbers[number] == 0)).astype(np.float32)}
    before, after = (jax.tree.leaves(history(name)(n)) for n in (numbers, other))
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_roles_say_what_a_number_is():
    """What is named a number of steps is a duration, what is named beta a pressure."""
    for name, number in NUMBERS:
        role = signature(TERMS[name]).hypers[number].role
        assert (role == "duration") == number.endswith("_steps"), (name, number)
        gains = ("k_i", "k_p") if name == "control_vae" else ("k_i",)  # whose ratio can lock beta
        assert (role == "rate") == (number in gains), (name, number)
        assert (role == "pressure") == number.startswith("beta"), (name, number)
        assert (role == "capacity") == (number == "capacities"), (name, number)
