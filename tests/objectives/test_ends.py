"""The ends of float32: what can be a number is one, what cannot stops the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import TERMS, gaussian
from devae_jax.objectives.ada_gvae import AGGREGATIONS, distance, shared
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import Latents, Posterior
from tests.objectives.test_terms import BATCH, DIM, make, options

SHAPE = (1, BATCH, DIM)
# Values that grow with the square of the variance, or that a gain multiplies: e^80 is beyond them.
BEYOND = {"control_vae", "dynamic_vae", "dip_ii"}


def ends_of(highest, seed):
    """Means up to 30 and log-variances from -80 to `highest`, in any mixture, or all the same."""
    rng = np.random.default_rng(seed)
    mean = rng.choice(np.float32([-30, -1, 0, 1, 30]), SHAPE)
    logvar = rng.choice(np.float32([-80, -20, 0, highest]), SHAPE)
    if seed < 2:
        logvar = np.full(SHAPE, (-80, highest)[seed], np.float32)
    return mean, logvar, rng.standard_normal(SHAPE, np.float32)


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_finite_with_finite_gradients(name):
    term = make(name, 1, *options(name, 1))
    params, carry = term.init(jax.random.key(0))

    @jax.jit
    @jax.value_and_grad
    def loss(inputs):
        mean, logvar, noise = inputs
        posterior = Posterior(mean=mean, logvar=logvar)
        kl = gaussian.kl(posterior).mean(axis=1)
        latents = Latents(posterior=posterior, z=gaussian.sample(posterior, noise), kl=kl)
        return term.apply(params, carry, latents, jax.random.key(1), jnp.int32(5))[0].sum()

    for seed in range(5):
        for inputs in (ends_of(30.0, seed), ends_of(80.0, seed)):
            value, grads = loss(inputs)
            finite = all(np.isfinite(x).all() for x in (value, *grads))
            if name in BEYOND and (inputs[1] == 80).any():
                assert not np.isfinite(value)  # the run stops, and says where
            else:
                assert finite, (name, seed, value)
    value, _ = loss((np.zeros(SHAPE), np.full(SHAPE, 1000.0, np.float32), np.ones(SHAPE)))
    assert name in ("density_ratio", "dip_i") or not np.isfinite(value)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_reconstruction_errors_are_finite_with_finite_gradients(name):
    images = np.float32([0, 0.5, 1]).repeat(8).reshape(1, 4, 6, 1)

    @jax.jit
    @jax.value_and_grad
    def error(logits):
        return LIKELIHOODS[name](logits, images).sum()

    for size in (0.0, 80.0, 89.0, 1e4, 1e30):
        for sign in (1, -1):
            value, grads = error(np.full(images.shape, sign * size, np.float32))
            assert np.isfinite(value)
            assert np.isfinite(grads).all()


@pytest.mark.parametrize("logvar", [-1000.0, -120.0, -80.0, 80.0])
def test_equal_posteriors_of_a_pair_are_near_at_any_variance(logvar):
    """In float32 the variance is 0 there, and its inverse infinite: 0 times that says nothing."""
    rest = np.linspace(-1, 1, DIM, dtype=np.float32)
    mean = np.stack([rest * 0, rest])[None, :, None]  # the middle latents are near, at 0
    mean[..., 1] = 0.5
    posterior = Posterior(mean=mean, logvar=np.zeros_like(mean))
    posterior.logvar[..., 1] = logvar
    assert (distance(posterior)[..., 1] == 0).all()
    assert shared(posterior)[..., 1].all()
    for aggregate in AGGREGATIONS.values():
        joined = aggregate(posterior)
        assert all(np.isfinite(x).all() for x in (joined.mean, joined.logvar))
