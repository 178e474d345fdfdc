"""FactorVAE at the reference's weights, and after the Adam steps of its discriminator.

All of it in float64, as the reference was computed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from devae_jax import rng
from devae_jax.models.discriminator import discriminator
from devae_jax.objectives import adversarial, kl
from tests import parity
from tests.reference import CONTEXT, FIXTURE, check_grads, decode, inputs, latents

RTOL = 1e-9


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def reference_discriminator():
    params, fan_in = {}, 10
    for i, width in enumerate([1000] * 6 + [2]):
        name = f"fc_discriminator/net.{2 * i + 1}"
        bound = float(f"{((6 if width > 2 else 3) / fan_in) ** 0.5:.4g}")
        params[f"Dense_{i}"] = {
            "kernel": parity.uniform(f"{name}.weight", (width, fan_in), bound).T,
            "bias": parity.uniform(f"{name}.bias", (width,), 0.1),
        }
        fan_in = width
    return parity.floats(params)


def test_factor_vae():
    """Logits, losses, gradients; and TC after the discriminator's Adam steps, taken by hand."""
    expected, leaves = FIXTURE["factor_vae"], inputs()
    z, params = leaves["z_sampled"], reference_discriminator()
    permuted = jnp.take_along_axis(z, jnp.asarray(expected["permutations"]).T, axis=0)
    apply = jax.jit(discriminator(10, slope=0.01).apply)
    adam = optax.adam(5e-5, b1=0.5, b2=0.9)

    np.testing.assert_allclose(apply(params, z), expected["logits_z_before"], rtol=RTOL)
    tc, grad = jax.value_and_grad(lambda z: adversarial.tc(apply(params, z)))(z)
    np.testing.assert_allclose(tc, expected["tc_loss_before_update"], rtol=RTOL)
    want = decode(expected["grad_tc_wrt_z_before_update"])
    assert np.max(np.abs(grad - want)) < RTOL * np.max(np.abs(want))

    @jax.jit
    def update(params, state):
        loss, grads = jax.value_and_grad(
            lambda params: adversarial.cross_entropy(apply(params, z), apply(params, permuted))
        )(params)
        updates, state = adam.update(grads, state, params)
        return loss, grads, optax.apply_updates(params, updates), state

    loss, grads, after_one, state = update(params, adam.init(params))
    np.testing.assert_allclose(loss, expected["discr_loss_before_update"], rtol=RTOL)
    for i in range(7):
        for ours, theirs in (("kernel", "weight"), ("bias", "bias")):
            np.testing.assert_allclose(
                np.linalg.norm(grads[f"Dense_{i}"][ours]),
                expected["discriminator_grad_norms"][f"net.{2 * i + 1}.{theirs}"],
                rtol=RTOL,
            )
    _, _, after_two, _ = update(after_one, state)
    for params, name in ((after_one, "one_update"), (after_two, "two_updates")):
        tc = adversarial.tc(apply(params, z))
        np.testing.assert_allclose(tc, expected[f"tc_loss_after_{name}"], rtol=RTOL)

    term = adversarial.density_ratio(CONTEXT, gamma=expected["gamma"], slope=0.01)
    stacked = jax.tree.map(lambda p: p[None], after_one)

    @jax.jit
    def value(leaves):
        batch = latents(**leaves)
        penalty = term.apply(stacked, {}, batch, rng.seed(0), 0)[0]
        return (penalty + kl.pressure(CONTEXT, betas=1.0).apply({}, {}, batch, None, 0)[0])[0]

    value, grads = jax.value_and_grad(value)(leaves)
    np.testing.assert_allclose(
        value, expected["regularizer_value_as_returned_by_reference"], rtol=RTOL
    )
    check_grads(grads, expected["grads"], RTOL)
