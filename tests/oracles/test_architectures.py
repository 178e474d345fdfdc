"""Encoders and decoders, with weights by formula, against the DeVAE author's code."""

import base64
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import staged, vae
from tests import parity

FIXTURE = json.loads(
    (pathlib.Path(__file__).parents[1] / "fixtures" / "architectures.json").read_text()
)
ATOL = 1e-5  # float32; the reference's own float32 run is off by 2.4e-6


def expected(name, shape=-1):
    return np.frombuffer(base64.b64decode(FIXTURE["arrays"][name]), "<f4").reshape(shape)


def sparse(logits):
    """Every 101st value in the reference's order."""
    return np.asarray(logits).transpose(0, 3, 1, 2).reshape(-1)[::101]


def images(channels):
    return parity.binary_images() if channels == 1 else parity.rgb_images()


def check(value, name):
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected(name, value.shape), rtol=0, atol=ATOL, err_msg=name)


def model(channels, *, size=10, convolution="auto", **options):
    return vae(
        image_shape=(64, 64, channels),
        latent_dim=size,
        convolution=convolution,
        **({"latents": "single"} | options),
    )


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("convolution", ["fast", "native"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["conv", "mlp"])
def test_encoder(kind, channels, convolution):
    tag = f"{'conv' if kind == 'conv' else 'fc'}_encoder_c{channels}"
    weights = parity.conv_encoder if kind == "conv" else parity.fc_encoder
    params = {"encoder": weights(f"{tag}/net", channels), "latents": {}}
    assert count(params) == FIXTURE["parameters"][tag]
    encode = jax.jit(
        model(channels, encoder=kind, convolution=convolution).encode, static_argnames="train"
    )
    posterior, _ = encode(params, {}, images(channels), step=0, train=False)
    check(posterior.mean[0], f"{tag}/mean")
    check(posterior.logvar[0], f"{tag}/logvar")


@pytest.mark.parametrize("convolution", ["fast", "native"])
@pytest.mark.parametrize(
    "kind, size, channels, n",
    [
        ("conv", 10, 1, 8),
        ("conv", 20, 1, 8),
        ("conv", 20, 3, 4),
        ("mlp", 10, 1, 4),
        ("mlp", 10, 3, 2),
    ],
)
def test_decoder(kind, size, channels, n, convolution):
    tag = f"{'deconv' if kind == 'conv' else 'fc'}_decoder_z{size}_c{channels}"
    weights = parity.conv_decoder if kind == "conv" else parity.fc_decoder
    params = {"decoder": weights(f"{tag}/net", size, channels)}
    assert count(params) == FIXTURE["parameters"][tag]
    decode = jax.jit(model(channels, size=size, decoder=kind, convolution=convolution).decode)
    z = parity.uniform(f"input/z{size}", (8, size), 2.0)[:n]
    logits = decode(params, z, np.zeros(n, np.int32))
    check(sparse(logits), f"{tag}/logits")


@pytest.mark.parametrize("channels, n", [(1, 4), (3, 2)])
def test_devae(channels, n):
    tag = f"devae_c{channels}"
    devae = model(channels, latents="dit", num_layers=3)
    params = parity.devae_params(tag)
    assert count(params) == FIXTURE["parameters"][tag] - 20  # its never used projection
    posterior, _ = jax.jit(devae.encode, static_argnames="train")(
        params, {}, images(channels), step=0, train=False
    )
    z = np.tile(parity.uniform("input/z10", (8, 10), 2.0)[:n], (3, 1))
    logits = jax.jit(devae.decode)(params, z, np.repeat(np.arange(3), n))
    for layer in range(3):
        check(posterior.mean[layer], f"{tag}/stage{layer}/mean")
        check(posterior.logvar[layer], f"{tag}/stage{layer}/logvar")
        own = logits[layer * n : (layer + 1) * n]
        check(sparse(own), f"{tag}/stage{layer}/logits_z10")


def test_staged_encoder():
    """Outputs and gradients in each of the five stages; frozen and waiting groups have none."""
    deft = staged(image_shape=(64, 64, 1), latent_dim=10, groups=5, stage_steps=1.0)
    tag = "frac_encoder"
    projections = parity.projections(f"{tag}/projs", 4, latent_dim=2)
    groups = {
        f"group_{i}": parity.conv_encoder(f"{tag}/sub_encoders.{i}.net", latent_dim=2, width=8)
        for i in range(5)
    }
    params = {"encoder": groups, "projections": projections}
    assert count(params) == FIXTURE["parameters"][tag] - 4  # the last group is never frozen
    cotangents = [
        parity.uniform(f"input/frac_cotangent_{part}", (8, 10), 1.0) for part in ("mean", "logvar")
    ]

    @jax.jit
    def run(params, step):
        def loss(params):
            q, _ = deft.encode(params, {}, jnp.asarray(images(1)), step=step, train=True)
            return jnp.sum(q.mean[0] * cotangents[0]) + jnp.sum(q.logvar[0] * cotangents[1]), q

        return jax.grad(loss, has_aux=True)(params)

    for stage in range(5):
        grads, posterior = run(params, stage)
        check(posterior.mean[0], f"{tag}/stage{stage}/mean")
        check(posterior.logvar[0], f"{tag}/stage{stage}/logvar")
        known = FIXTURE["frac_encoder_gradients"][str(stage)]
        for i in range(5):
            leaves = jax.tree.leaves(grads["encoder"][f"group_{i}"])
            norm = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in leaves))
            np.testing.assert_allclose(norm, known["norm"][i] or 0.0, rtol=2e-5)
        for i in range(4):
            own = [grads["projections"][name][i] for name in ("w1", "w2")]
            np.testing.assert_allclose(own, known["w1_w2"][i] or np.zeros((2, 2)), atol=2e-5)
