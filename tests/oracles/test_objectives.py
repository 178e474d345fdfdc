"""Values, gradients and trajectories of the reference code, at fixed inputs.

`fixtures/objectives.json` holds float64 results of the DeVAE authors' PyTorch code and of
the beta-TCVAE authors' code. The three inputs are independent leaves: gradients exclude
the path from the posterior through the sample.
"""

import base64
import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from devae_jax import rng
from devae_jax.models.discriminator import discriminator
from devae_jax.objectives import adversarial, control, dip, gaussian, kl, likelihood
from devae_jax.objectives import tc as total_correlation
from devae_jax.types import Latents, Posterior

PATH = pathlib.Path(__file__).parent.parent / "fixtures" / "objectives.json"
FIXTURE = json.loads(PATH.read_text())
LEAVES = ("z_mean", "z_logvar", "z_sampled")


def decode(text, dtype="<f8", shape=(16, 10)):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def inputs():
    dtype = jnp.zeros(0).dtype
    return {name: jnp.asarray(decode(FIXTURE["inputs"][name], "<f4"), dtype) for name in LEAVES}


def latents(z_mean, z_logvar, z_sampled):
    posterior = Posterior(mean=z_mean[None], logvar=z_logvar[None])
    return Latents(posterior=posterior, z=z_sampled[None], kl=gaussian.kl(posterior).mean(axis=1))


def value_of(term, step=0):
    """(leaves) -> value of a stateless term at one layer."""
    return lambda leaves: term.apply({}, {}, latents(**leaves), jax.random.key(0), step)[0][0]


def check_grads(grads, expected, tolerance):
    for name in LEAVES:
        if name not in expected:
            assert not np.any(grads[name])
            continue
        want = decode(expected[name])
        error = np.max(np.abs(grads[name] - want)) / np.max(np.abs(want))
        assert error < tolerance, (name, error)


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """(rtol of values, tolerance of gradients relative to their maximum)."""
    with jax.enable_x64(request.param == "float64"):
        yield (5e-6, 1e-5) if request.param == "float32" else (1e-11, 1e-11)


def sum_values(*terms):
    return lambda leaves: sum(value_of(term)(leaves) for term in terms)


REGULARIZERS = {
    "beta_vae/beta1": lambda: value_of(kl.pressure()),
    "beta_tc_vae/beta6_alpha1": lambda: sum_values(
        kl.pressure(),
        total_correlation.total_correlation(weight=5.0, estimator="plain", dataset_size=1),
    ),
    "dip_vae_i/od10_factor10": lambda: sum_values(kl.pressure(), dip.dip_i()),
    "dip_vae_ii_published/od10_factor1": lambda: sum_values(kl.pressure(), dip.dip_ii()),
}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizers(name, precision):
    expected = FIXTURE["regularizers"][name]
    value, grads = jax.value_and_grad(REGULARIZERS[name]())(inputs())
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
        log_weights = total_correlation.mws_weights(16, dataset_size)
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

    (_, parts), grads = jax.value_and_grad(penalty, has_aux=True)(inputs())
    expected = FIXTURE["mws_mss"][f"N{dataset_size}_{estimator}"]
    scale = max(abs(expected[name]) for name in ("MI", "TC", "DWKL"))
    for part, name in zip(parts, ("MI", "TC", "DWKL"), strict=True):
        np.testing.assert_allclose(part, expected[name], atol=tolerance[0] * max(scale, 10))
    check_grads(grads, expected["grad_penalty"], tolerance[1])


def test_annealed_vae():
    """The reference counts calls from 1: call i is this schedule at step i + 1."""
    (case,) = FIXTURE["annealed_vae"]
    term = kl.annealed(
        c_max=case["c_max"], gamma=case["gamma"], anneal_steps=case["iteration_threshold"]
    )
    for row in case["rows"]:
        value, grads = jax.value_and_grad(value_of(term, row["call_index"] + 1))(inputs())
        np.testing.assert_allclose(value, row["value"], rtol=5e-6)
        np.testing.assert_allclose(
            np.linalg.norm(grads["z_mean"]), row["grad_norm_z_mean"], rtol=5e-6
        )


def test_cascade():
    (case,) = FIXTURE["cascade_vae_c"]
    hyper = {name: case[name] for name in ("beta_min", "beta_max", "stage_steps")}
    for row in case["rows"]:
        grad = jax.value_and_grad(value_of(kl.cascade(**hyper), row["step"]))
        value, grads = grad(inputs())
        np.testing.assert_allclose(value, row["value"], rtol=5e-6)
        for name in ("z_mean", "z_logvar"):
            np.testing.assert_allclose(
                np.linalg.norm(grads[name]), row[f"grad_norm_{name}"], rtol=5e-6
            )


@pytest.mark.parametrize("case", FIXTURE["exp_annealing"], ids=lambda case: case["total_steps"])
def test_exponential_annealing(case):
    term = kl.exponential_annealing(
        beta=case["beta_h"],
        temperature=case["temp"],
        warmup_steps=case["warmup_steps"],
        anneal_steps=case["total_steps"],
    )
    for row in case["rows"]:
        value = value_of(term, row["step"])(inputs())
        np.testing.assert_allclose(value, row["value"], rtol=5e-6)


@pytest.mark.parametrize("case", FIXTURE["deft"], ids=lambda case: len(case["betas"]))
def test_deft(case):
    term = kl.deft_pressure(betas=case["betas"], stage_steps=case["stage_steps"])
    for row in case["rows"]:
        value = value_of(term, row["step"])(inputs())
        np.testing.assert_allclose(value, row["value"], rtol=5e-6)


SEQUENCES = {
    "A": lambda t: 30 * np.exp(-t / 400) + 5 + 2 * np.sin(t / 50),
    "C": lambda t: 3 + 17 * t / 2000 + 3 * np.sin(t / 30),
    "E": lambda t: np.where(t < 1500, SEQUENCES["C"](t), 40),
}
CONTROLLERS = {
    "control_vae": (
        lambda h: control.control_vae(
            target=h["C"],
            start=h["init_C"],
            target_steps=h["total_steps"],
            interval=h["step_iteration"],
            k_p=h["Kp"],
            k_i=-h["Ki"],
        ),
        lambda metrics, carry: (metrics["beta"], metrics["target"], carry["integral"]),
    ),
    "dynamic_vae": (
        lambda h: control.dynamic_vae(
            target=h["C"],
            target_steps=h["total_steps"],
            interval=h["K"],
            k_p=h["K_p"],
            k_i=h["K_i"],
            smoothing=h["alpha"],
            beta_start=h["beta_init"],
            beta_min=h["beta_min"],
            proportional="clipped",
        ),
        lambda metrics, carry: (
            metrics["beta"],
            metrics["target"],
            -carry["error"],
            carry["kl"],
        ),
    ),
}


@pytest.mark.parametrize("name", CONTROLLERS)
def test_controllers(name, precision):
    """All trajectories of 2,000 steps at once: every hyperparameter is a batched tracer."""
    factory, columns = CONTROLLERS[name]
    cases = FIXTURE["controllers"][name]
    hyper = {
        key: jnp.asarray([float(case["hyper"][key]) for case in cases]) for key in cases[0]["hyper"]
    }
    t = np.arange(2000)
    sequences = jnp.asarray(np.stack([SEQUENCES[case["sequence"]](t) for case in cases]))

    def trajectory(hyper, sequence):
        term = factory(hyper)
        posterior = Posterior(mean=jnp.zeros((1, 1, 1)), logvar=jnp.zeros((1, 1, 1)))

        def step(carry, xs):
            observed = Latents(posterior=posterior, z=posterior.mean, kl=xs[0][None, None])
            _, (carry, metrics) = term.apply({}, carry, observed, None, xs[1])
            return carry, jnp.stack(columns(metrics, carry))[:, 0]

        return jax.lax.scan(step, term.init(None, 1, 1)[1], (sequence, jnp.asarray(t)))[1]

    rows = jax.jit(jax.vmap(trajectory))(hyper, sequences)
    rtol = 2e-4 if rows.dtype == jnp.float32 else 1e-11
    for ours, case in zip(rows, cases, strict=True):
        expected = np.asarray(case["rows"])
        got = ours[expected[:, 0].astype(int)]
        scale = np.max(np.abs(expected[:, 1:]), axis=0, keepdims=True)
        assert np.max(np.abs(got - expected[:, 1:]) / scale) < rtol


def uniform(key, shape, bound):
    u = np.random.RandomState(zlib.crc32(key.encode("ascii"))).random_sample(shape)
    return ((2.0 * u - 1.0) * bound).astype(np.float32)


def reference_discriminator():
    params, fan_in = {}, 10
    for i, width in enumerate([1000] * 6 + [2]):
        name = f"fc_discriminator/net.{2 * i + 1}"
        bound = float(f"{((6 if width > 2 else 3) / fan_in) ** 0.5:.4g}")
        params[f"Dense_{i}"] = {
            "kernel": jnp.asarray(uniform(f"{name}.weight", (width, fan_in), bound).T),
            "bias": jnp.asarray(uniform(f"{name}.bias", (width,), 0.1)),
        }
        fan_in = width
    return params


def test_factor_vae():
    """Logits, losses, gradients; and TC after the discriminator's Adam step, taken by hand."""
    expected = FIXTURE["factor_vae"]
    leaves = inputs()
    z = leaves["z_sampled"]
    network = discriminator(slope=0.01)
    params = reference_discriminator()
    order = jnp.asarray(expected["permutations"]).T
    permuted = jnp.take_along_axis(z, order, axis=0)

    logits = network.apply(params, z)
    np.testing.assert_allclose(logits, expected["logits_z_before"], atol=1e-5)
    tc, grad = jax.value_and_grad(lambda z: adversarial.tc(network.apply(params, z)))(z)
    np.testing.assert_allclose(tc, expected["tc_loss_before_update"], rtol=1e-5)
    want = decode(expected["grad_tc_wrt_z_before_update"])
    assert np.max(np.abs(grad - want)) < 1e-5 * np.max(np.abs(want))

    def cross_entropy(params):
        return adversarial.cross_entropy(network.apply(params, z), network.apply(params, permuted))

    adam = optax.adam(5e-5, b1=0.5, b2=0.9)
    state = adam.init(params)
    for update in range(2):
        loss, grads = jax.value_and_grad(cross_entropy)(params)
        if update == 0:
            np.testing.assert_allclose(loss, expected["discr_loss_before_update"], rtol=5e-6)
            for i in range(7):
                for ours, theirs in (("kernel", "weight"), ("bias", "bias")):
                    np.testing.assert_allclose(
                        np.linalg.norm(grads[f"Dense_{i}"][ours]),
                        expected["discriminator_grad_norms"][f"net.{2 * i + 1}.{theirs}"],
                        rtol=5e-5,
                    )
        updates, state = adam.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        tc = adversarial.tc(network.apply(params, z))
        name = ("one_update", "two_updates")[update]
        np.testing.assert_allclose(tc, expected[f"tc_loss_after_{name}"], atol=1e-3)
        if update == 0:
            after = params

    def value(leaves):
        term = adversarial.density_ratio(discriminator=network, gamma=expected["gamma"])
        stacked = jax.tree.map(lambda p: p[None], after)
        both = [
            kl.pressure().apply({}, {}, latents(**leaves), None, 0),
            term.apply(stacked, {}, latents(**leaves), rng.seed(0), 0),
        ]
        return sum(value[0] for value, _ in both)

    value, grads = jax.value_and_grad(value)(leaves)
    np.testing.assert_allclose(
        value, expected["regularizer_value_as_returned_by_reference"], atol=1e-3 * 6.4
    )
    check_grads(grads, expected["grads"], 1e-3)


def test_reconstruction_errors():
    expected = FIXTURE["reconstruction"]
    i, j = np.mgrid[0:64, 0:64]
    images = (196 * (i - 14) ** 2 + 25 * (j - 50) ** 2 <= 4900).astype(np.float32)
    images = jnp.asarray(images.reshape(1, 64, 64, 1))
    logits = jnp.asarray(decode(expected["logits_f32"], "<f4", (1, 64, 64, 1)))
    ours = {
        "bernoulli_logits": likelihood.bernoulli(logits, images),
        "bernoulli_logits_minus_true_entropy": likelihood.bernoulli_excess(
            logits, images, floor=1e-3
        ),
        "l2_logits": likelihood.squared_error(logits, images),
    }
    for name, value in ours.items():
        np.testing.assert_allclose(value[0], expected[name], rtol=2e-6)
