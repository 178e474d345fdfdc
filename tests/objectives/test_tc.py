"""Total correlation and covariance penalties against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import adversarial, dip, gaussian, tc
from devae_jax.types import Context, Latents, Posterior

CONTEXT = Context((8, 8, 1), latent_dim=4)

RHO, TRUE = 0.8, -0.5 * np.log(1 - 0.8**2)


def correlated(batch, variance=0.3, seed=0):
    """Posteriors and samples whose aggregate is N(0, [[1, rho], [rho, 1]])."""
    rng = np.random.default_rng(seed)
    covariance = np.array([[1.0, RHO], [RHO, 1.0]]) - variance * np.eye(2)
    vals, vecs = np.linalg.eigh(covariance)
    mean = rng.normal(size=(batch, 2)) * np.sqrt(np.maximum(vals, 0)) @ vecs.T
    z = mean + np.sqrt(variance) * rng.normal(size=mean.shape)
    logvar = np.full_like(mean, np.log(variance))
    return tuple(jnp.asarray(x, jnp.float32) for x in (z, mean, logvar))


def test_tc_of_a_correlated_gaussian():
    """With each sample weighed as one of many images, the estimate is the truth."""
    batch = 2000
    samples = correlated(batch, variance=0.15)
    for log_weights in (
        jnp.full((batch, batch), -jnp.log(1.0 * batch)),
        tc.mss_weights(jnp.arange(batch), batch, 10**9),
    ):
        np.testing.assert_allclose(jax.jit(tc.estimate)(*samples, log_weights), TRUE, atol=0.05)


def test_mws_exceeds_the_batch_estimate_by_the_published_constant():
    """Weights 1/(N B) instead of 1/B cost (D - 1) log N."""
    z, mean, logvar = correlated(64)
    estimate = jax.jit(tc.estimate)
    exact = estimate(z, mean, logvar, jnp.full((64, 64), -jnp.log(64.0)))
    mws = estimate(z, mean, logvar, tc.mws_weights(jnp.arange(64), 64, 5000))
    np.testing.assert_allclose(mws - exact, np.log(5000), rtol=1e-5)


@pytest.mark.parametrize(("batch", "dataset_size"), [(8, 1000), (8, 8), (2, 50), (1, 9)])
def test_stratified_weights(batch, dataset_size):
    """1/N for a sample's image, (N - M) / (N M) for the next one, 1/M for the others, M = B - 1."""
    others = max(batch - 1, 1)
    expected = np.full((batch, batch), 1 / others)
    for row in range(batch):
        expected[row, (row + 1) % batch] = (dataset_size - others) / (dataset_size * others)
        expected[row, row] = 1 / dataset_size
    rows = jnp.arange(batch)
    weights = np.exp(tc.mss_weights(rows, batch, dataset_size))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    if batch > 1:
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    few = np.exp(tc.mss_weights(rows[batch // 2 :], batch, dataset_size))
    np.testing.assert_array_equal(few, weights[batch // 2 :])


@pytest.mark.parametrize("limit", [1, 3 * 16 * 2, 2**22])
def test_blocks_of_rows_change_nothing(limit, monkeypatch):
    z, mean, logvar = correlated(16)
    weights = tc.mss_weights(jnp.arange(16), 16, 100)
    grad = jax.value_and_grad(tc.estimate, argnums=(0, 1, 2))
    value, grads = jax.jit(grad)(z, mean, logvar, weights)
    monkeypatch.setattr(tc, "_MAX_ELEMENTS", limit)
    blocked, blocked_grads = jax.jit(lambda *args: grad(*args))(z, mean, logvar, weights)
    np.testing.assert_allclose(blocked, value, rtol=1e-5)
    for ours, theirs in zip(blocked_grads, grads, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_memory_stays_bounded_for_thousands_of_latents():
    """[B, B, D] of B = 256, D = 2048 alone would be 512 MiB."""
    x = jax.ShapeDtypeStruct((256, 2048), jnp.float32)
    weights = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    compiled = jax.jit(jax.grad(tc.estimate, argnums=(0, 1, 2))).lower(x, x, x, weights).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 200 * 2**20


def test_unknown_estimator():
    with pytest.raises(ValueError, match="mss"):
        tc.total_correlation(CONTEXT, estimator="ms")


def make_latents(mean, logvar):
    posterior = Posterior(mean=jnp.asarray(mean)[None], logvar=jnp.asarray(logvar)[None])
    return Latents(posterior=posterior, z=posterior.mean, kl=gaussian.kl(posterior).mean(axis=1))


def test_dip_penalties_of_a_known_covariance():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(50, 4))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(raw.T @ raw / 50)).T  # covariance I
    mixing = np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    mean = (white @ mixing.T).astype(np.float32)
    covariance = mixing @ mixing.T
    logvar = rng.normal(size=(50, 4)).astype(np.float32)

    def penalty(c, od, d):
        diagonal = np.diag(c)
        off = (c**2).sum() - (diagonal**2).sum()
        return od * off + d * ((diagonal - 1) ** 2).sum()

    latents = make_latents(mean, logvar)
    value = dip.dip_i(CONTEXT, lambda_od=2.0, lambda_d=3.0).apply({}, {}, latents, None, 0)[0]
    np.testing.assert_allclose(value, [penalty(covariance, 2, 3)], rtol=1e-4)
    value = dip.dip_ii(CONTEXT, lambda_od=2.0, lambda_d=3.0).apply({}, {}, latents, None, 0)[0]
    second = covariance + np.diag(np.exp(logvar).mean(axis=0))
    np.testing.assert_allclose(value, [penalty(second, 2, 3)], rtol=1e-4)


def test_permuted_codes_keep_marginals_and_lose_dependence():
    z = jnp.asarray(correlated(5000)[0])[None]
    permuted = adversarial.permute(jax.random.key(0), z)
    np.testing.assert_array_equal(np.sort(permuted, axis=1), np.sort(z, axis=1))
    correlation = np.corrcoef(np.asarray(permuted[0]).T)[0, 1]
    assert abs(correlation) < 0.05 < abs(np.corrcoef(np.asarray(z[0]).T)[0, 1])
