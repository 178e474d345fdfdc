"""What every term keeps, whatever it penalises: one line here tests a new one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.hyper import hypers, split
from devae_jax.models.discriminator import discriminator
from devae_jax.objectives import TERMS, gaussian
from devae_jax.types import Latents, Posterior

GIVEN = {  # what `build` fills in, kept small
    "total_correlation": {"dataset_size": 1000},
    "density_ratio": {"discriminator": discriminator, "width": 8, "depth": 2},
}
BATCH, DIM = 8, 4


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
    given = {k: v for k, v in GIVEN.get(name, {}).items() if not callable(v)}
    provided = [k for k, v in GIVEN.get(name, {}).items() if callable(v)]
    return split(TERMS[name], given, name, num_layers=num_layers, provided=provided)[1]


@pytest.mark.parametrize("name", TERMS)
def test_traced_once_with_constant_state(name, num_layers=3):
    static = {k: v for k, v in GIVEN.get(name, {}).items() if k not in hypers(TERMS[name])}
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
    static = {k: v for k, v in GIVEN.get(name, {}).items() if k not in hypers(TERMS[name])}
    batch = make_latents(jax.random.key(0), 3)

    def value(num_layers):
        term = TERMS[name](**static, **numbers(name, num_layers))
        params, carry = term.init(jax.random.key(0), DIM, num_layers)
        own = jax.tree.map(lambda x: x[:num_layers], batch)
        return term.apply(params, carry, own, jax.random.key(1), jnp.int32(5))[0][0]

    np.testing.assert_allclose(*jax.jit(lambda: (value(1), value(3)))(), rtol=1e-6)
