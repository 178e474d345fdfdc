"""Encoders and decoders, with weights by formula, against the DeVAE author's code.

The reference was computed in float64 and rounded to float32; so are we, but for a few cases in
the precision of training.
"""

import base64
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import staged, vae
from devae_jax.types import Context
from tests import parity

FIXTURE = json.loads(
    (pathlib.Path(__file__).parents[1] / "fixtures" / "architectures.json").read_text()
)
# The fixture is rounded; the reference's own float32 run is off by 2.4e-6.
TOLERANCES = {"float64": {"rtol": 1e-7, "atol": 1e-9}, "float32": {"rtol": 0, "atol": 2e-5}}
FORMS = [  # network, convolution, precision
    ("conv", "fast", "float64"),
    ("conv", "native", "float64"),
    ("conv", "fast", "float32"),
    ("mlp", "auto", "float64"),
]


@pytest.fixture
def precision(request):
    """The precision of a test, parametrized or float64."""
    precision = getattr(request, "param", "float64")
    with jax.enable_x64(precision == "float64"):
        yield precision


forms = pytest.mark.parametrize("kind, convolution, precision", FORMS, indirect=["precision"])


def expected(name):
    return np.frombuffer(base64.b64decode(FIXTURE["arrays"][name]), "<f4")


def sparse(logits):
    """Every 101st value in the reference's order."""
    return np.asarray(logits).transpose(0, 3, 1, 2).reshape(-1)[::101]


def images(channels):
    return parity.floats(parity.binary_images() if channels == 1 else parity.rgb_images())


def check(value, name):
    tolerance = TOLERANCES[value.dtype.name]
    assert value.dtype == jnp.zeros(()).dtype
    first = expected(name)[: value.size].reshape(value.shape)
    np.testing.assert_allclose(value, first, **tolerance, err_msg=name)


def model(channels, precision, *, size=10, num_layers=1, latents="single", **options):
    context = Context((64, 64, channels), size, num_layers)
    return vae(context, latents=latents, dtype=precision, **options)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("channels", [1, 3])
@forms
def test_encoder(kind, channels, convolution, precision):
    tag = f"{'conv' if kind == 'conv' else 'fc'}_encoder_c{channels}"
    weights = parity.conv_encoder if kind == "conv" else parity.fc_encoder
    params = parity.floats({"encoder": weights(f"{tag}/net", channels), "latents": {}})
    assert count(params) == FIXTURE["parameters"][tag]
    built = model(channels, precision, encoder=kind, convolution=convolution)
    encode = jax.jit(built.encode, static_argnames="train")
    posterior, _ = encode(params, {}, images(channels), step=0, train=False)
    check(posterior.mean[0], f"{tag}/mean")
    check(posterior.logvar[0], f"{tag}/logvar")


DECODERS = {  # (latents, channels, number of codes)
    "conv": [(10, 1, 8), (20, 1, 8), (20, 3, 4)],
    "mlp": [(10, 1, 4), (10, 3, 2)],
}


@pytest.mark.parametrize(
    "kind, convolution, precision, size, channels, n",
    [(*form, *case) for form in FORMS for case in DECODERS[form[0]]],
    indirect=["precision"],
)
def test_decoder(kind, size, channels, n, convolution, precision):
    tag = f"{'deconv' if kind == 'conv' else 'fc'}_decoder_z{size}_c{channels}"
    weights = parity.conv_decoder if kind == "conv" else parity.fc_decoder
    params = parity.floats({"decoder": weights(f"{tag}/net", size, channels)})
    assert count(params) == FIXTURE["parameters"][tag]
    built = model(channels, precision, size=size, decoder=kind, convolution=convolution)
    n = 2 if convolution == "native" else n  # XLA:CPU's convolutions are slow in float64
    z = parity.floats(parity.uniform(f"input/z{size}", (8, size), 2.0)[:n])
    check(sparse(jax.jit(built.logits)(params, z, np.zeros(n, np.int32))), f"{tag}/logits")


@pytest.mark.parametrize("channels, n", [(1, 4), (3, 2)])
def test_devae(channels, n, precision):
    tag = f"devae_c{channels}"
    devae = model(channels, precision, latents="dit", num_layers=3)
    params = parity.floats(parity.devae_params(tag))
    assert count(params) == FIXTURE["parameters"][tag] - 20  # its never used projection
    posterior, _ = jax.jit(devae.encode, static_argnames="train")(
        params, {}, images(channels), step=0, train=False
    )
    z = np.tile(parity.uniform("input/z10", (8, 10), 2.0)[:n], (3, 1))
    logits = jax.jit(devae.logits)(params, parity.floats(z), np.repeat(np.arange(3), n))
    for layer in range(3):
        check(posterior.mean[layer], f"{tag}/stage{layer}/mean")
        check(posterior.logvar[layer], f"{tag}/stage{layer}/logvar")
        of_layer = logits[layer * n : (layer + 1) * n]
        check(sparse(of_layer), f"{tag}/stage{layer}/logits_z10")


def test_staged_encoder(precision):
    """Outputs and gradients in each of the five stages; frozen and waiting groups have none."""
    deft = staged(Context((64, 64, 1), 10), groups=5, stage_steps=1.0, dtype=precision)
    tag = "frac_encoder"
    projections = parity.projections(f"{tag}/projs", 4, latent_dim=2)
    groups = {
        f"group_{i}": parity.conv_encoder(f"{tag}/sub_encoders.{i}.net", latent_dim=2, width=8)
        for i in range(5)
    }
    params = parity.floats({"encoder": groups, "projections": projections})
    assert count(params) == FIXTURE["parameters"][tag] - 4  # the last group is never frozen
    cotangents = [
        parity.uniform(f"input/frac_cotangent_{part}", (8, 10), 1.0) for part in ("mean", "logvar")
    ]

    @jax.jit
    def run(params, step):
        def loss(params):
            q, _ = deft.encode(params, {}, images(1), step=step, train=True)
            return jnp.sum(q.mean[0] * cotangents[0]) + jnp.sum(q.logvar[0] * cotangents[1]), q

        return jax.grad(loss, has_aux=True)(params)

    for stage in range(5):
        grads, posterior = run(params, stage)
        check(posterior.mean[0], f"{tag}/stage{stage}/mean")
        check(posterior.logvar[0], f"{tag}/stage{stage}/logvar")
        known = FIXTURE["frac_encoder_gradients"][str(stage)]
        for i in range(5):
            leaves = jax.tree.leaves(grads["encoder"][f"group_{i}"])
            norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves))
            np.testing.assert_allclose(norm, known["norm"][i] or 0.0, rtol=1e-10)
        for i in range(4):
            ours = [grads["projections"][name][i] for name in ("w1", "w2")]
            np.testing.assert_allclose(ours, known["w1_w2"][i] or np.zeros((2, 2)), rtol=1e-10)
