"""Closed forms: divergence, density, likelihoods, schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import gaussian, schedules
from devae_jax.objectives.likelihood import LIKELIHOODS, bernoulli, bernoulli_excess
from devae_jax.types import Posterior


def test_kl_is_the_integral():
    mean, logvar = np.array([0.0, 1.5, -0.7]), np.array([0.0, -1.0, 0.8])
    z = np.linspace(-30, 30, 200_001)[:, None]
    q = np.exp(-0.5 * ((z - mean) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)))
    log_ratio = np.log(np.maximum(q, 1e-300)) + 0.5 * (z**2 + np.log(2 * np.pi))
    integral = (q * log_ratio).sum(axis=0) * (z[1, 0] - z[0, 0])
    ours = gaussian.kl(
        Posterior(mean=jnp.asarray(mean)[None, None], logvar=jnp.asarray(logvar)[None, None])
    )
    np.testing.assert_allclose(ours[0, 0], integral, atol=1e-6)


def test_samples_have_the_posterior_moments():
    mean, logvar = jnp.full((1, 50_000, 1), 1.5), jnp.full((1, 50_000, 1), -1.0)
    noise = jax.random.normal(jax.random.key(0), mean.shape)
    z = gaussian.sample(Posterior(mean=mean, logvar=logvar), noise)
    np.testing.assert_allclose(z.mean(), 1.5, atol=0.01)
    np.testing.assert_allclose(z.var(), np.exp(-1.0), rtol=0.02)


def test_log_density_integrates_to_one():
    z = jnp.linspace(-20.0, 20.0, 4001)
    density = jnp.exp(gaussian.log_density(z, jnp.full_like(z, 0.3), jnp.full_like(z, 0.9)))
    np.testing.assert_allclose(density.sum() * 0.01, 1.0, rtol=1e-5)


def test_likelihoods_against_their_definitions():
    logits = np.random.default_rng(0).normal(size=(3, 4, 4, 2)) * 3
    images = np.random.default_rng(1).uniform(size=(3, 4, 4, 2))
    p = 1 / (1 + np.exp(-logits))
    cross = -(images * np.log(p) + (1 - images) * np.log(1 - p))
    entropy = -(images * np.log(images) + (1 - images) * np.log(1 - images))
    squared = (images - p) ** 2
    expected = {
        "bernoulli": cross,
        "bernoulli_excess": cross - entropy,
        "squared_error": squared,
        "gaussian": 0.5 * squared + 0.5 * np.log(2 * np.pi),
    }
    assert expected.keys() == LIKELIHOODS.keys()
    for name, value in expected.items():
        ours = LIKELIHOODS[name](jnp.asarray(logits), jnp.asarray(images))
        np.testing.assert_allclose(ours, value.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_bernoulli_survives_extreme_logits_and_black_pixels():
    logits = jnp.asarray([[-200.0, 200.0, 0.0]])
    images = jnp.asarray([[0.0, 1.0, 1.0]])
    np.testing.assert_allclose(bernoulli(logits, images), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(bernoulli_excess(logits[:, :2], images[:, :2]), [0.0])
    grad = jax.grad(lambda x: bernoulli_excess(x, images).sum())(logits)
    np.testing.assert_allclose(grad, [[0.0, 0.0, -0.5]], atol=1e-6)


def test_linear_schedule():
    step = jnp.asarray([0, 5, 10, 1000])
    np.testing.assert_allclose(
        schedules.linear(step, start=2.0, end=4.0, steps=10.0), [2.0, 3.0, 4.0, 4.0]
    )
    np.testing.assert_allclose(schedules.linear(step, start=2.0, end=4.0, steps=0.0), 4.0)


def test_exponential_schedule():
    rise = [
        schedules.exponential(jnp.int32(t), end=8.0, temperature=np.log(8.0), steps=30.0)
        for t in (-5, 0, 10, 20, 30, 31)
    ]
    np.testing.assert_allclose(rise, [1, 1, 2, 4, 8, 8], rtol=1e-5)


@pytest.mark.parametrize("interval", [3_000.0, 7.0, 0.0])
def test_stages_change_exactly_at_their_boundaries(interval):
    boundary = jnp.arange(1, 200) * max(int(interval), 1)
    np.testing.assert_array_equal(schedules.stage(boundary, interval=interval), np.arange(1, 200))
    np.testing.assert_array_equal(
        schedules.stage(boundary - 1, interval=interval), np.arange(0, 199)
    )


def test_staircase_with_ramps():
    at = {"start": 1.0, "end": 5.0, "steps": 40.0, "interval": 10.0}
    step = jnp.asarray([0, 9, 10, 19, 20, 39, 40, 90])
    np.testing.assert_allclose(
        schedules.staircase(step, **at, ramp=1.0), [1, 1, 2, 2, 3, 4, 5, 5], rtol=1e-6
    )
    step = jnp.asarray([0, 9, 10, 11, 14, 19, 20, 40, 44])
    np.testing.assert_allclose(
        schedules.staircase(step, **at, ramp=5.0),
        [1, 1, 1.2, 1.4, 2, 2, 2.2, 4.2, 5],
        rtol=1e-6,
    )
