"""Codes of known total correlation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import adversarial
from devae_jax.objectives.known_codes import known_codes, pairs, total_correlation
from devae_jax.types import Context, Term

CONTEXT = Context(image_shape=(2, 2, 1), latent_dim=4)


def recording(seen):
    def apply(params, carry, latents, key, step):
        seen.append(latents)
        return jnp.zeros(1), (carry, {})

    return Term(init=lambda key: ({}, {}), apply=apply)


def test_pairs_have_their_correlation_and_total_correlation():
    z = np.asarray(pairs(jax.random.key(0), (1, 100_000, 4), 0.8))[0]
    wanted = np.eye(4)
    wanted[[0, 1, 2, 3], [1, 0, 3, 2]] = 0.8
    found = np.cov(z.T)
    np.testing.assert_allclose(found, wanted, atol=0.02)
    # Of a Gaussian with unit variances TC is -1/2 ln det of its covariance.
    np.testing.assert_allclose(total_correlation(4, 0.8), -0.5 * np.log(np.linalg.det(wanted)))


def test_terms_see_fresh_codes_of_the_prior():
    seen = []
    objective = known_codes(CONTEXT, None, {"a": recording(seen)}, rho=0.5)
    params, carry = objective.init(jax.random.key(0))
    batch = {"image": jnp.zeros((8, 2, 2, 1))}
    for step in range(2):
        key = jax.random.key(step)
        assert objective.loss(params, carry, batch, key, jnp.int32(step))[0] == 0
    assert seen[0].z.shape == (1, 8, 4) and not np.array_equal(seen[0].z, seen[1].z)
    assert float(jnp.abs(seen[0].kl).max()) == 0.0


def test_the_discriminator_learns_and_nothing_else_is_trained():
    term = adversarial.density_ratio(CONTEXT, gamma=1.0, width=8, depth=1)
    objective = known_codes(CONTEXT, None, {"tc": term}, rho=0.9)
    params, carry = objective.init(jax.random.key(0))
    assert set(params) == {"tc"}
    batch = {"image": jnp.zeros((64, 2, 2, 1))}
    loss = lambda p: objective.loss(p, carry, batch, jax.random.key(1), jnp.int32(0))  # noqa: E731
    grads, (_, metrics) = jax.grad(loss, has_aux=True)(params)
    assert metrics["tc/loss"].shape == (1,) and metrics["loss"] == metrics["loss/tc"]
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("dim", [3, 4])
def test_what_cannot_be_is_refused(dim):
    terms = {} if dim == 4 else {"a": recording([])}
    with pytest.raises(ValueError, match="even number of latents"):
        known_codes(CONTEXT._replace(latent_dim=dim), None, terms)
