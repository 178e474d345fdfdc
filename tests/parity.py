"""Weights and images by formula, so that published numbers of the PyTorch code can be compared.

A weight is `uniform(key, shape, bound)` with the key "<module tag>/<torch parameter name>".
The loaders put such weights into the parameter trees of this library.
"""

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np


def floats(tree):
    """Leaves as floats of the precision that is enabled, float64 under `jax.enable_x64`."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), tree)


def uniform(key, shape, bound):
    """float32 numbers in [-bound, bound], the same on every machine."""
    draws = np.random.RandomState(zlib.crc32(key.encode("ascii"))).random_sample(shape)
    return ((2.0 * draws - 1.0) * bound).astype(np.float32)


def binary_images(n=8):
    """Filled ellipses, [n, 64, 64, 1] in {0, 1}."""
    x = np.zeros((n, 64, 64, 1), np.float32)
    i, j = np.mgrid[0:64, 0:64]
    for k in range(n):
        a, b, i0, j0 = 5 + k, 14 - k, 14 + 4 * k, 50 - 3 * k
        x[k, ..., 0] = b * b * (i - i0) ** 2 + a * a * (j - j0) ** 2 <= a * a * b * b
    return x


def rgb_images(n=8):
    """Colour gradients, [n, 64, 64, 3] in [0, 1]."""
    x = np.zeros((n, 64, 64, 3), np.int64)
    i, j = np.mgrid[0:64, 0:64]
    for k in range(n):
        for c in range(3):
            slope = (c + 1) * i * 2 + (k + 1) * j + (i * j) // (16 + 4 * c)
            x[k, ..., c] = (slope + 40 * c + 23 * k) % 256
    return x.astype(np.float32) / np.float32(255)


def _bound(fan_in, gain=6):
    return float(f"{math.sqrt(gain / fan_in):.4g}")


def _conv(name, inputs, outputs):
    """A 4x4 convolution, torch's [O, I, H, W] to HWIO."""
    weight = uniform(f"{name}.weight", (outputs, inputs, 4, 4), _bound(16 * inputs))
    return {
        "kernel": weight.transpose(2, 3, 1, 0),
        "bias": uniform(f"{name}.bias", (outputs,), 0.1),
    }


def _deconv(name, inputs, outputs, taps=4, gain=6):
    """A 4x4 transposed convolution, torch's [I, O, H, W] to HWIO, spatially flipped."""
    weight = uniform(f"{name}.weight", (inputs, outputs, 4, 4), _bound(taps * inputs, gain))
    return {
        "kernel": weight.transpose(2, 3, 0, 1)[::-1, ::-1],
        "bias": uniform(f"{name}.bias", (outputs,), 0.1),
    }


def _linear(name, inputs, outputs, gain=6):
    weight = uniform(f"{name}.weight", (outputs, inputs), _bound(inputs, gain))
    return {"kernel": weight.T, "bias": uniform(f"{name}.bias", (outputs,), 0.1)}


def conv_encoder(net, channels=1, latent_dim=10, width=32):
    """The encoder whose parameters are called "<net>.0.weight" and so on."""
    sizes = [channels, width, width, 2 * width, 2 * width]
    trunk = {f"Down_{i}": _conv(f"{net}.{2 * i}", *sizes[i : i + 2]) for i in range(4)}
    trunk["Collapse_0"] = _conv(f"{net}.8", 2 * width, 8 * width)
    return {"trunk": trunk, "head": _linear(f"{net}.11", 8 * width, 2 * latent_dim, gain=3)}


def conv_decoder(net, inputs, channels=1):
    """The decoder with `inputs` latents (DeVAE: 2 D)."""
    sizes = [64, 64, 32, 32, channels]
    ups = {
        f"Up_{i}": _deconv(f"{net}.{5 + 2 * i}", *sizes[i : i + 2], gain=3 if i == 3 else 6)
        for i in range(4)
    }
    expand = _deconv(f"{net}.3", 256, 64, taps=1)
    # One input pixel meets each tap once: as a matrix product there is nothing to flip.
    expand["kernel"] = expand["kernel"][::-1, ::-1]
    return {"Dense_0": _linear(f"{net}.0", inputs, 256), "Expand_0": expand, **ups}


def fc_encoder(net, channels=1, latent_dim=10):
    """The fully connected encoder; torch flattens channels first, this library last."""
    first = _linear(f"{net}.1", 4096 * channels, 1200)
    kernel = first["kernel"].reshape(channels, 4096, 1200)
    first["kernel"] = kernel.transpose(1, 0, 2).reshape(-1, 1200)
    trunk = {"Dense_0": first, "Dense_1": _linear(f"{net}.3", 1200, 1200)}
    return {"trunk": trunk, "head": _linear(f"{net}.5", 1200, 2 * latent_dim, gain=3)}


def fc_decoder(net, inputs, channels=1):
    """The fully connected decoder; pixels are permuted as in `fc_encoder`."""
    last = _linear(f"{net}.6", 1200, 4096 * channels, gain=3)
    last = {
        name: value.reshape(-1, channels, 4096).swapaxes(1, 2).reshape(value.shape)
        for name, value in last.items()
    }
    sizes = [inputs, 1200, 1200, 1200]
    hidden = {f"Dense_{i}": _linear(f"{net}.{2 * i}", *sizes[i : i + 2]) for i in range(3)}
    return {**hidden, "Dense_3": last}


def projections(net, count, latent_dim=10):
    """The w1 and w2 of "<net>.<i>.W1", "<net>.<i>.W2", stacked: [count, D]."""
    return {
        name.lower(): np.reshape(
            [uniform(f"{net}.{i}.{name}", (1, latent_dim), 0.5) for i in range(count)],
            (count, latent_dim),
        )
        for name in ("W1", "W2")
    }


def devae_params(tag="devae_c1", K=3):
    """Parameters of `vae(latents="dit", num_layers=K, latent_dim=10)`, three layers published.

    The reference has a further, never used projection, which this library does not make.
    """
    channels = int(tag.split("_")[1][1:])
    latents = projections(f"{tag}/encode.projs", K - 1)
    latents["embedding"] = uniform(f"{tag}/decode.stage_embed.weight", (K, 10), 1.0)
    return {
        "encoder": conv_encoder(f"{tag}/encode.net", channels),
        "latents": latents,
        "decoder": conv_decoder(f"{tag}/decode.net", 20, channels),
    }
