"""Variational autoencoders as built: sizes, parameter counts, initialisers, errors."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import DECODERS, ENCODERS, LATENTS, vae
from devae_jax.models.layers import INITIALISERS
from devae_jax.types import Context


def build(size=64, channels=1, *, latent_dim=10, num_layers=1, platform="cpu", **options):
    context = Context((size, size, channels), latent_dim, num_layers, platform=platform)
    return vae(context, **({"latents": "single"} | options))


def shapes(size=64, channels=1, *, num_layers=1, **options):
    """(params, posterior of 2 images, logits of one code a layer), abstractly."""
    model = build(size, channels, num_layers=num_layers, **options)

    def walk(key, images):
        params, carry = model.init(key)
        posterior, _ = model.encode(params, carry, images, step=0, train=True)
        return params, posterior, model.logits(params, posterior.mean[:, 0], jnp.arange(num_layers))

    images = jnp.zeros((2, size, size, channels))
    return jax.eval_shape(walk, jax.random.key(0), images)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "options, encoder, decoder",
    [
        ({}, 382_932, 380_353),
        ({"channels": 3}, 383_956, 381_379),
        ({"encoder": "conv_dlib", "decoder": "conv_dlib"}, 309_204, 381_313),
        ({"encoder": "mlp", "decoder": "mlp"}, 6_381_620, 7_814_896),
    ],
)
def test_published_numbers_of_parameters(options, encoder, decoder):
    params, *_ = shapes(**options)
    assert (count(params["encoder"]), count(params["decoder"])) == (encoder, decoder)


def test_published_number_of_parameters_of_devae():
    """765,935 in the authors' code, which has a projection that is never used."""
    params, *_ = shapes(latents="dit", num_layers=3)
    assert count(params) == 765_935 - 2 * 10
    assert count(params["latents"]) == 2 * 2 * 10 + 3 * 10


@pytest.mark.parametrize("dtype, convolution", [("float32", "native"), ("bfloat16", "fast")])
@pytest.mark.parametrize("size, channels", [(32, 3), (64, 1), (128, 1)])
@pytest.mark.parametrize("network", ["conv", "conv_dlib", "mlp"])
def test_sizes_and_dtypes(network, size, channels, dtype, convolution):
    """Everything that leaves a model is float32, whatever it computes in."""
    trees = shapes(
        size,
        channels,
        num_layers=2,
        latents="dit",
        encoder=network,
        decoder=network,
        dtype=dtype,
        convolution=convolution,
    )
    _, posterior, logits = trees
    assert posterior.mean.shape == posterior.logvar.shape == (2, 2, 10)
    assert logits.shape == (2, size, size, channels)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(trees))


@pytest.mark.parametrize("latent_dim", [1, 1024, 2048])
@pytest.mark.parametrize("latents, num_layers", [("single", 1), ("dit", 3), ("parallel", 3)])
def test_any_dimension(latents, num_layers, latent_dim):
    _, posterior, logits = shapes(latents=latents, num_layers=num_layers, latent_dim=latent_dim)
    assert posterior.mean.shape == (num_layers, 2, latent_dim)
    assert logits.shape == (num_layers, 64, 64, 1)


def encode(model, params, images):
    return jax.jit(lambda p, x: model.encode(p, {}, x, step=0, train=False)[0])(params, images)


def init(model, seed=0):
    return jax.jit(model.init)(jax.random.key(seed))[0]


def test_bfloat16_is_close_to_float32():
    images = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1))
    params = init(build(32, width=4))
    exact, low = (
        encode(build(32, width=4, dtype=dtype), params, images).mean
        for dtype in ("float32", "bfloat16")
    )
    assert 0 < np.max(np.abs(exact - low)) < 0.03 * np.max(np.abs(exact))


FANS = {  # name: (fan_in, fan_out) at 64 pixels with one channel, as PyTorch counts them
    "Down_0": (16, 16 * 32),
    "Down_2": (16 * 32, 16 * 64),
    "Collapse_0": (16 * 64, 16 * 256),
    "head": (256, 20),
    "Dense_0": (10, 256),
    "Expand_0": (16 * 64, 16 * 256),  # transposed: output channels count as inputs
    "Up_3": (16, 16 * 32),
}


@pytest.mark.parametrize("initialiser", INITIALISERS)
def test_initialisers(initialiser):
    """Uniform within the bounds: the largest of many draws comes close to the bound."""
    params = init(build(init=initialiser))
    layers = {**params["encoder"]["trunk"], **params["encoder"], **params["decoder"]}
    for name, (fan_in, fan_out) in FANS.items():
        bound = fan_in**-0.5 if initialiser == "torch" else math.sqrt(6 / (fan_in + fan_out))
        kernel, bias = (np.abs(layers[name][part]) for part in ("kernel", "bias"))
        assert 0.97 * bound < kernel.max() <= bound, name
        assert bias.max() <= (bound if initialiser == "torch" else 0.0), name
        assert kernel.mean() == pytest.approx(bound / 2, rel=0.1), name
        assert initialiser == "glorot" or bias.max() > 0, name


def test_layers_of_devae_scale_the_axes():
    """Means of all layers differ by a positive factor an axis; at the start they are equal."""
    model = build(32, width=2, latents="dit", num_layers=3)
    images = jax.random.uniform(jax.random.key(1), (4, 32, 32, 1))
    params = init(model)
    first = encode(model, params, images)
    for layer in (1, 2):
        np.testing.assert_array_equal(first.mean[layer], first.mean[0])
        np.testing.assert_array_equal(first.logvar[layer], first.logvar[0])
    w1, w2 = jax.random.normal(jax.random.key(2), (2, 2, 10))
    params["latents"] |= {"w1": w1, "w2": w2}
    learned = encode(model, params, images)
    ratio = learned.mean / learned.mean[:1]
    for layer in range(3):
        factor = jnp.exp(w1[:layer].sum(0))
        np.testing.assert_allclose(ratio[layer], np.tile(factor, (4, 1)), rtol=1e-4)
        shift = learned.logvar[layer] - learned.logvar[0]
        np.testing.assert_allclose(shift, np.tile(w2[:layer].sum(0), (4, 1)), atol=1e-5)


@pytest.mark.parametrize("latents", [name for name in LATENTS if name != "single"])
def test_the_decoder_is_told_the_layer(latents):
    mlp = {"encoder": "mlp", "decoder": "mlp", "width": 16}
    model = build(32, latents=latents, num_layers=3, **mlp)
    params = init(model)
    logits = jax.jit(model.logits)
    images = logits(params, jnp.ones((3, 10)), jnp.arange(3))
    again = logits(params, jnp.ones((3, 10)), jnp.full(3, 1))
    assert not np.allclose(images[0], images[2])
    np.testing.assert_allclose(images[1], again[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": "cnov"}, "encoder='cnov', expected one of .*did you mean 'conv'"),
        ({"decoder": "residul"}, "decoder='residul', expected one of .*did you mean 'residual'"),
        ({"latents": "dti"}, "latents='dti', expected one of .*did you mean 'dit'"),
        ({"init": "troch"}, "init='troch', expected one of .*did you mean 'torch'"),
        ({"dtype": "float64"}, "dtype='float64' without jax_enable_x64"),
        ({"dtype": "float16"}, "dtype='float16', expected one of .*did you mean 'bfloat16'"),
        ({"convolution": "quick"}, "convolution='quick', expected one of"),
        ({"size": 48}, "48 x 48 pixels, 'conv' takes square images of 32, 64, 128 pixels"),
        ({"channels": 2}, "expected .* 1 or 3 channels"),
        ({"latent_dim": 0}, "latent_dim=0, expected an integer >= 1"),
        ({"num_layers": 0}, "num_layers=0, expected an integer >= 1"),
        ({"width": -1}, "width=-1, expected an integer >= 1"),
        ({"num_layers": 3}, "num_layers=3, expected 1 for latents='single'"),
    ],
)
def test_says_what_it_cannot_build(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


def test_the_platform_chooses_the_convolution():
    """Convolutions are matrix products on a CPU alone, whatever this process runs on."""
    z = jax.ShapeDtypeStruct((2, 10), jnp.float32)
    for platform, native in (("cpu", False), ("gpu", True), ("tpu", True)):
        model = build(platform=platform)
        params = jax.eval_shape(model.init, jax.random.key(0))[0]
        text = jax.jit(model.logits).lower(params, z, jnp.zeros(2, jnp.int32)).as_text()
        assert ("stablehlo.convolution" in text) == native


@pytest.mark.parametrize("network", ["conv", "conv_dlib", "mlp", "residual"])
def test_computes_in_float64(network):
    """Nothing between parameters and codes in double precision and the logits is a float32."""
    with jax.enable_x64(True):
        networks = {"encoder": network, "decoder": network}
        model = build(num_layers=2, latents="linear", dtype="float64", **networks)

        def walk(params, images):
            posterior, _ = model.encode(params, {}, images, step=0, train=True)
            return model.logits(params, posterior.mean[:, 0], jnp.arange(2))

        params = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float64),
            jax.eval_shape(model.init, jax.random.key(0))[0],
        )
        text = str(jax.make_jaxpr(walk)(params, jnp.zeros((2, 64, 64, 1))))
    assert "f64[2,64,64,1]" in text
    assert "f32" not in text


def test_every_network_can_be_named():
    for encoder in ENCODERS:
        build(encoder=encoder)
    for decoder in DECODERS:
        build(decoder=decoder)
