"""Residual networks and ResNets: sizes, batch statistics over the global batch."""

import functools
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import ENCODERS, residual, resnet, vae
from devae_jax.models.layers import Style, relu
from devae_jax.objectives import kl
from devae_jax.objectives.elbo import elbo
from devae_jax.types import Context
from tests.objectives import devices


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def shapes(images, num_layers=3, latent_dim=10, **options):
    """(params, carry, posterior, logits) of a model, abstractly."""
    model = vae(Context(images[1:], latent_dim, num_layers), **options)

    def walk(key, images):
        params, carry = model.init(key)
        posterior, new = model.encode(params, carry, images, step=0, train=True)
        assert jax.tree.structure(new) == jax.tree.structure(carry)
        z = posterior.mean[:, 0]
        return params, carry, posterior, model.logits(params, z, jnp.arange(num_layers))

    return jax.eval_shape(walk, jax.random.key(0), jnp.zeros(images))


@pytest.mark.parametrize(
    "latent_dim, num_layers, latents, size, channels",
    [
        (10, 3, "dit", 128, 3),
        (1024, 3, "dit", 64, 1),
        (2048, 3, "dit", 64, 3),
        (2048, 1, "single", 128, 1),
    ],
)
@pytest.mark.parametrize("encoder", ["residual", "resnet50"])
def test_beta_vae_and_devae_of_any_dimension(
    encoder, latent_dim, num_layers, latents, size, channels
):
    _, carry, posterior, logits = shapes(
        (2, size, size, channels),
        num_layers,
        encoder=encoder,
        decoder="residual",
        latents=latents,
        latent_dim=latent_dim,
    )
    assert posterior.mean.shape == posterior.logvar.shape == (num_layers, 2, latent_dim)
    assert logits.shape == (num_layers, size, size, channels)
    assert set(carry) == ({"batch_stats"} if encoder == "resnet50" else set())


def test_resnet50_has_the_published_number_of_parameters():
    """25,557,032 of the ImageNet classifier less its last layer, 2,048 x 1,000 + 1,000."""
    params, carry, *_ = shapes((2, 224, 224, 3), encoder="resnet50", decoder="mlp")
    assert count(params["encoder"]["trunk"]) == 25_557_032 - 2_049_000
    assert count(carry) == 53_120


@pytest.mark.parametrize("encoder", ["residual", "resnet50"])
def test_computes_in_bfloat16_and_says_float32(encoder):
    options = {"decoder": "residual", "dtype": "bfloat16"}
    *trees, posterior, logits = shapes((2, 64, 64, 1), encoder=encoder, **options)
    assert logits.dtype == posterior.mean.dtype == posterior.logvar.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(trees))


def test_names_the_sizes_that_a_network_takes():
    for encoder, sizes in (("residual", "64, 128"), ("resnet50", "32, 64, 128, 224")):
        with pytest.raises(ValueError, match=f"{encoder!r} takes square images of {sizes} pixels"):
            vae(Context((96, 96, 1), 10), encoder=encoder)


def test_a_residual_block_starts_as_the_identity_and_still_learns():
    block = residual.Block(Style())
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
    params = block.init(jax.random.key(1), x)["params"]
    np.testing.assert_array_equal(block.apply({"params": params}, x), x)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(block.apply({"params": p}, x) ** 2)))(params)
    assert grads.pop("gate") != 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


@functools.cache
def objective(axis_name=None, dtype="float32"):
    """DeVAE with two layers on the first block of a very narrow ResNet."""
    module = functools.partial(resnet.ResNet, width=2, depths=(1,))
    context = Context((32, 32, 1), latent_dim=3, num_layers=2, axis_name=axis_name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "resnet5", lambda shape, width, style: module(style=style))
        model = vae(context, encoder="resnet5", decoder="mlp", width=8, latents="dit", dtype=dtype)
    return elbo(context, model, {"kl": kl.pressure(context, betas=2.0)})


@pytest.fixture(scope="module")
def start():
    """((params, batch statistics), images)."""
    images = jax.random.uniform(jax.random.key(0), (8, 32, 32, 1))
    return jax.jit(objective().init)(jax.random.key(0)), images


def test_batch_statistics_are_those_of_the_global_batch(start):
    """In float64: a mean of squares less the square of a mean magnifies float32's rounding."""

    def step(axis_name, state, batch):
        loss_of = jax.value_and_grad(objective(axis_name, "float64").loss, has_aux=True)
        (loss, (carry, _)), grads = loss_of(*state, batch, jax.random.key(1), 0)
        return loss, grads, carry

    with jax.enable_x64(True):
        state, images = jax.tree.map(lambda x: jnp.asarray(x, float), start)
        batch = {"image": images}
        whole = jax.jit(functools.partial(step, None))(state, batch)
        parts = devices.split(functools.partial(step, devices.AXIS), 4)(state, batch)
    for a, b in zip(*map(jax.tree.leaves, (parts, whole)), strict=True):
        assert a.dtype == jnp.float64
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_running_statistics_are_learned_and_used(start):
    (params, old), images = start
    loss = jax.jit(objective().loss)
    _, (new, _) = loss(params, old, {"image": images}, jax.random.key(1), 0)
    for before, after in zip(*map(jax.tree.leaves, (old, new)), strict=True):
        assert np.any(before != after)
    encode = jax.jit(functools.partial(objective().encode, step=0))
    means = encode(params, new, images).mean
    assert np.any(means != encode(params, old, images).mean)
    few = encode(params, new, images[:2]).mean
    np.testing.assert_allclose(few, means[:, :2], rtol=1e-4, atol=1e-5)


def test_relu_is_that_of_flax_on_every_platform():
    x = jnp.array([-1.0, -0.0, 0.0, 1e-30, 2.0, jnp.inf, -jnp.inf])
    for convolution in ("native", "fast"):
        style = Style(convolution=convolution)
        value, pull = jax.vjp(lambda x: relu(x, style), x)  # noqa: B023
        wanted, wanted_pull = jax.vjp(nn.relu, x)
        np.testing.assert_array_equal(value, wanted)
        np.testing.assert_array_equal(pull(x), wanted_pull(x))


def test_blocks_computed_again_keep_parameters_and_are_as_many():
    context, key = Context((64, 64, 3), 4), jax.random.key(0)
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")
    for encoder, decoder, blocks in (("resnet14", "residual", 4), ("residual", "residual", 8)):
        traced = []
        for remat in (False, True):
            model = vae(context, encoder=encoder, decoder=decoder, remat=remat, width=4)
            params, carry = jax.eval_shape(model.init, key)
            encode = functools.partial(model.encode, step=0, train=True)
            text = str(jax.make_jaxpr(encode)(params, carry, images))
            traced.append(
                (
                    jax.tree.structure((params, carry)),
                    len(re.findall(r"= (?:remat|checkpoint)\w*\[", text)),
                )
            )
        assert traced[0] == (traced[1][0], 0)
        assert traced[1][1] == blocks


def test_without_blocks_there_is_nothing_to_compute_again():
    with pytest.raises(ValueError, match=r"encoder='conv' .* expected a network of blocks, residu"):
        vae(Context((64, 64, 3), 4), remat=True)
