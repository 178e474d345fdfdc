"""DeVAE's losses, gradients and training against float64 results of the author's code.

In float64: a unit at the kink of its ReLU may fall on either side in float32, with the machine.
"""

import functools
import json
import pathlib

import jax
import numpy as np
import optax
import pytest

from devae_jax.models import vae
from devae_jax.objectives import kl
from devae_jax.objectives.elbo import evidence
from devae_jax.types import Context
from tests import parity

pytestmark = pytest.mark.xdist_group("oracle_losses")  # what its tests share is made once

FIXTURE = json.loads(
    (pathlib.Path(__file__).parents[1] / "fixtures" / "devae_losses.json").read_text()
)
LIKELIHOOD = {"bernoulli_loss": "bernoulli", "l2_loss": "squared_error"}
TOLERANCES = {"float64": 1e-10, "float32": 1e-3}  # of gradients, relative to their norm


@pytest.fixture
def precision(request):
    """The precision of a test, parametrized or float64."""
    precision = getattr(request, "param", "float64")
    with jax.enable_x64(precision == "float64"):
        yield precision


def gaussian_noise(seeds):
    """The recorded noise [K, 8, 10]: layer k has that of seed k."""
    rows = [np.random.RandomState(s).standard_normal((8, 10)).astype(np.float32) for s in seeds]
    return parity.floats(np.stack(rows))


@functools.cache
def compiled(likelihood, num_layers, channels, precision, *, convolution="fast", layers="sum"):
    """(params, images, noise, betas, scale, key) -> loss, metrics, gradients by torch's names."""
    context = Context((64, 64, channels), 10, num_layers)
    model = vae(context, latents="dit", convolution=convolution, dtype=precision)

    @jax.jit
    def run(params, images, noise, betas, scale, key):
        objective = evidence(
            context,
            model,
            {"kl": kl.pressure(context, betas=betas)},
            likelihood=likelihood,
            layers=layers,
            scale=scale,
            reconstruction_weight=1.0,
            noise=lambda key, shape: noise,
        )
        loss_of = jax.value_and_grad(objective.loss, has_aux=True)
        (loss, (_, metrics)), grads = loss_of({"model": params}, {}, {"image": images}, key, 0)
        return loss, metrics, by_torch_name(grads["model"])

    return run


def case(config, name, num_layers, precision, *, batch=8, **options):
    """key -> what `compiled` returns, for a recorded config and the first images of its batch."""
    channels = 3 if "c3" in name else 1
    run = compiled(LIKELIHOOD[config["loss_fn"]], num_layers, channels, precision, **options)
    tag = f"devae_c{channels}" + ("_K1" if num_layers == 1 else "")
    given = parity.floats(
        (
            parity.devae_params(tag, num_layers),
            images(channels)[:batch],
            gaussian_noise(1000 + np.arange(num_layers))[:, :batch],
            np.asarray(config["betas"]),
            config.get("scale", 1.0),
        )
    )
    return functools.partial(run, *given)


def by_torch_name(tree):
    """Gradients (or parameters) of a conv DeVAE under the reference's names."""
    named = {}
    encoder, decoder, latents = tree["encoder"], tree["decoder"], tree["latents"]
    nets = {f"encode.net.{2 * i}": encoder["trunk"][f"Down_{i}"] for i in range(4)}
    nets |= {"encode.net.8": encoder["trunk"]["Collapse_0"], "encode.net.11": encoder["head"]}
    nets |= {"decode.net.0": decoder["Dense_0"], "decode.net.3": decoder["Expand_0"]}
    nets |= {f"decode.net.{5 + 2 * i}": decoder[f"Up_{i}"] for i in range(4)}
    for name, leaf in nets.items():
        named |= {f"{name}.weight": leaf["kernel"], f"{name}.bias": leaf["bias"]}
    for w in ("w1", "w2"):
        for i, row in enumerate(latents.get(w, ())):
            named[f"encode.projs.{i}.{w.upper()}"] = row
    if "embedding" in latents:
        named["decode.stage_embed.weight"] = latents["embedding"]
    return named


def images(channels):
    return parity.binary_images() if channels == 1 else parity.rgb_images()


def assert_gradients(grads, expected, tolerance):
    """Norms of every tensor; absent gradients of the reference are zeros here."""
    for name, grad in grads.items():
        norm = expected.get(name) or 0.0
        np.testing.assert_allclose(np.linalg.norm(grad), norm, rtol=tolerance, atol=1e-10)


@pytest.mark.parametrize("precision", TOLERANCES, indirect=True)
@pytest.mark.parametrize("name", FIXTURE["configs"])
def test_sum_over_layers(name, precision):
    config, tolerance = FIXTURE["configs"][name], TOLERANCES[precision]
    loss, metrics, grads = case(config, name, len(config["betas"]), precision)(jax.random.key(0))
    rtol = min(tolerance, 5e-6)
    np.testing.assert_allclose(loss, config["loss"], rtol=rtol)
    np.testing.assert_allclose(metrics["reconstruction"], config["reconstruction"], rtol=rtol)
    np.testing.assert_allclose(metrics["kl"], config["kl"], rtol=rtol)
    assert_gradients(grads, config["grad_norms"], tolerance)
    for tensor, expected in config.get("grad_small", {}).items():
        if tensor in grads and expected is not None:
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                np.ravel(grads[tensor]), np.ravel(expected), atol=tolerance * scale
            )


@pytest.mark.parametrize("name", ["bernoulli_c1_scale0.5", "l2_c3_scale1"])
def test_both_convolutions_are_one_model(name, precision):
    """On one image alone: XLA:CPU's convolutions are slow in float64."""
    config = FIXTURE["configs"][name]
    fast, native = (
        case(config, name, 3, precision, batch=1, convolution=form)(jax.random.key(0))
        for form in ("fast", "native")
    )
    for a, b in zip(*map(jax.tree.leaves, (fast, native)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10 * np.max(np.abs(b)))


@pytest.mark.parametrize("name", FIXTURE["algorithm1"])
def test_one_sampled_layer(name, precision):
    config = FIXTURE["algorithm1"][name]
    run = case(config, name, 3, precision, layers="sampled")
    # Draws until the key picks the recorded layer: the draw itself is part of what is tested.
    for seed in range(20):
        loss, metrics, grads = run(jax.random.key(seed))
        if np.isfinite(metrics["reconstruction"][config["idx"]]):
            break
    np.testing.assert_allclose(loss, config["loss"], rtol=1e-10)
    recon = metrics["reconstruction"]
    np.testing.assert_allclose(recon[config["idx"]], config["reconstruction"], rtol=1e-10)
    assert np.isfinite(recon).sum() == 1
    assert_gradients(grads, config["grad_norms"], 1e-10)


TRAJECTORIES = {"devae_bernoulli_c1": [1, 10, 40], "betavae_beta6_bernoulli_c1": [6]}


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_training(name, precision):
    betas, recorded = TRAJECTORIES[name], FIXTURE["trajectories"][name]
    num_layers = len(betas)
    context = Context((64, 64, 1), 10, num_layers)
    if num_layers == 1:
        params = {
            "encoder": parity.conv_encoder("betavae_c1/encode.net"),
            "latents": {},
            "decoder": parity.conv_decoder("betavae_c1/decode.net", 10),
        }
    else:
        params = parity.devae_params("devae_c1", 3)
    model = vae(context, latents="single" if num_layers == 1 else "dit", dtype=precision)
    terms = {"kl": kl.pressure(context, betas=parity.floats(np.asarray(betas)))}
    batch = {"image": parity.floats(images(1))}
    adam = optax.adam(1e-4)

    @jax.jit
    def step(params, opt_state, noise):
        objective = evidence(
            context,
            model,
            terms,
            likelihood="bernoulli",
            layers="sum",
            scale=1.0,
            reconstruction_weight=1.0,
            noise=lambda key, shape: noise,
        )
        (_, (_, metrics)), grads = jax.value_and_grad(objective.loss, has_aux=True)(
            {"model": params}, {}, batch, jax.random.key(0), 0
        )
        updates, opt_state = adam.update(grads["model"], opt_state)
        return optax.apply_updates(params, updates), opt_state, metrics

    params = parity.floats(params)
    opt_state, rows = adam.init(params), []
    for t in range(25):
        noise = gaussian_noise(5000 + 10 * t + np.arange(num_layers))
        params, opt_state, metrics = step(params, opt_state, noise)
        rows.append([metrics["loss"], *metrics["reconstruction"], *metrics["kl"]])
    np.testing.assert_allclose(rows, recorded["rows"], rtol=1e-8)
    for tensor, leaf in by_torch_name(params).items():
        norm = recorded["final_param_norm"][tensor]
        np.testing.assert_allclose(np.linalg.norm(leaf), norm, rtol=1e-8)
