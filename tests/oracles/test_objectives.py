"""Values and gradients of the reference code, at fixed inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import dip, gaussian, kl, likelihood
from devae_jax.objectives import tc as total_correlation
from tests import parity
from tests.reference import (
    CONTEXT,
    FIXTURE,
    PRECISIONS,
    at_steps,
    check_grads,
    decode,
    inputs,
    latents,
    value_of,
)


@pytest.fixture(params=PRECISIONS)
def precision(request):
    with jax.enable_x64(request.param == "float64"):
        yield PRECISIONS[request.param]


def sum_values(*terms):
    return lambda leaves: sum(value_of(term)(leaves) for term in terms)


def plain_tc(context):
    return total_correlation.total_correlation(context, weight=5.0, estimator="plain")


PENALTIES = {  # beside a KL of weight one
    "beta_vae/beta1": (),
    "beta_tc_vae/beta6_alpha1": (plain_tc,),
    "dip_vae_i/od10_factor10": (dip.dip_i,),
    "dip_vae_ii_published/od10_factor1": (dip.dip_ii,),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_regularizers(name, precision):
    expected = FIXTURE["regularizers"][name]
    terms = [kl.pressure(CONTEXT, betas=1.0), *(penalty(CONTEXT) for penalty in PENALTIES[name])]
    value, grads = jax.jit(jax.value_and_grad(sum_values(*terms)))(inputs())
    np.testing.assert_allclose(value, expected["value"], rtol=precision[0])
    check_grads(grads, expected["grads"], precision[1])


def test_kl_and_plain_tc(precision):
    leaves = inputs()
    np.testing.assert_allclose(
        latents(**leaves).kl[0], FIXTURE["kl_per_dim"], rtol=max(precision[0], 1e-10)
    )
    tc = total_correlation.estimate(
        leaves["z_sampled"], leaves["z_mean"], leaves["z_logvar"], jnp.zeros((16, 16))
    )
    np.testing.assert_allclose(tc, FIXTURE["total_correlation_no_constants"], rtol=precision[0])


def authors_mss_weights(batch_size, dataset_size):
    """The importance matrix as the beta-TCVAE authors build it (1/N in column 0)."""
    m = batch_size - 1
    strat = (dataset_size - m) / (dataset_size * m)
    weights = np.full(batch_size**2, 1 / m)
    weights[:: m + 1], weights[1 :: m + 1] = 1 / dataset_size, strat
    weights = weights.reshape(batch_size, batch_size)
    weights[m - 1, 0] = strat
    return jnp.log(jnp.asarray(weights))


@pytest.mark.parametrize("dataset_size", [1000, 737280])
@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_minibatch_estimators(estimator, dataset_size, precision):
    """With the authors' own weights: MI, TC and the gradients of MI + 6 TC + DWKL."""
    if estimator == "mws":
        log_weights = total_correlation.mws_weights(jnp.arange(16), 16, dataset_size)
        tolerance = precision
    else:
        log_weights = authors_mss_weights(16, dataset_size)
        tolerance = (max(precision[0], 1e-6), 1e-5)  # the authors' matrix is float32

    def penalty(leaves):
        z, mean, logvar = leaves["z_sampled"], leaves["z_mean"], leaves["z_logvar"]
        joint, product = total_correlation.log_marginals(z, mean, logvar, log_weights)
        conditional = gaussian.log_density(z, mean, logvar).sum(axis=-1)
        prior = gaussian.log_density(z, jnp.zeros_like(z), jnp.zeros_like(z)).sum(axis=-1)
        tc = (joint - product).mean()
        mi, dwkl = (conditional - joint).mean(), (product - prior).mean()
        return mi + 6 * tc + dwkl, (mi, tc, dwkl)

    (_, parts), grads = jax.jit(jax.value_and_grad(penalty, has_aux=True))(inputs())
    expected = FIXTURE["mws_mss"][f"N{dataset_size}_{estimator}"]
    scale = max(abs(expected[name]) for name in ("MI", "TC", "DWKL"))
    for part, name in zip(parts, ("MI", "TC", "DWKL"), strict=True):
        np.testing.assert_allclose(part, expected[name], atol=tolerance[0] * max(scale, 10))
    check_grads(grads, expected["grad_penalty"], tolerance[1])


def check_steps(term, rows, step, rtol):
    """Values, and gradient norms where the rows have them, at the steps of the rows."""
    values, grads = at_steps(term, [step(row) for row in rows])
    np.testing.assert_allclose(values, [row["value"] for row in rows], rtol=rtol)
    for name in ("z_mean", "z_logvar"):
        if f"grad_norm_{name}" in rows[0]:
            norms = np.linalg.norm(grads[name], axis=(1, 2))
            np.testing.assert_allclose(norms, [row[f"grad_norm_{name}"] for row in rows], rtol=rtol)


def test_annealed_vae(precision):
    """The reference counts calls from 1: call i is this schedule at step i + 1."""
    (case,) = FIXTURE["annealed_vae"]
    term = kl.annealed(
        CONTEXT, c_max=case["c_max"], gamma=case["gamma"], anneal_steps=case["iteration_threshold"]
    )
    check_steps(term, case["rows"], lambda row: row["call_index"] + 1, precision[0])


def test_cascade(precision):
    (case,) = FIXTURE["cascade_vae_c"]
    hyper = {name: case[name] for name in ("beta_min", "beta_max", "stage_steps")}
    check_steps(kl.cascade(CONTEXT, **hyper), case["rows"], lambda row: row["step"], precision[0])


@pytest.mark.parametrize("case", FIXTURE["exp_annealing"], ids=lambda case: case["total_steps"])
def test_exponential_annealing(case, precision):
    term = kl.exponential_annealing(
        CONTEXT,
        beta=case["beta_h"],
        temperature=case["temp"],
        warmup_steps=case["warmup_steps"],
        anneal_steps=case["total_steps"],
    )
    check_steps(term, case["rows"], lambda row: row["step"], precision[0])


@pytest.mark.parametrize("case", FIXTURE["deft"], ids=lambda case: len(case["betas"]))
def test_deft(case, precision):
    term = kl.deft_pressure(CONTEXT, betas=case["betas"], stage_steps=case["stage_steps"])
    check_steps(term, case["rows"], lambda row: row["step"], precision[0])


def test_reconstruction_errors(precision):
    expected = FIXTURE["reconstruction"]
    images = parity.floats(parity.binary_images(1))
    logits = parity.floats(decode(expected["logits_f32"], "<f4", (1, 64, 64, 1)))
    ours = {
        "bernoulli_logits": likelihood.bernoulli(logits, images),
        "bernoulli_logits_minus_true_entropy": likelihood.bernoulli_excess(
            logits, images, floor=1e-3
        ),
        "l2_logits": likelihood.squared_error(logits, images),
    }
    for name, value in ours.items():
        np.testing.assert_allclose(value[0], expected[name], rtol=max(precision[0], 1e-10))
