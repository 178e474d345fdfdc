"""Residual networks and ResNets: sizes, batch statistics over the global batch."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import devae
from devae_jax import build
from devae_jax.models import ENCODERS, residual, resnet, vae
from devae_jax.models.layers import Style
from devae_jax.train import parallel


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def shapes(images, num_layers=3, **options):
    """(params, carry, posterior, logits) of a model, abstractly."""
    model = vae(image_shape=images[1:], num_layers=num_layers, **options)

    def walk(key, images):
        params, carry = model.init(key, images)
        posterior, new = model.encode(params, carry, images, step=0, train=True)
        assert jax.tree.structure(new) == jax.tree.structure(carry)
        z = posterior.mean[:, 0]
        return params, carry, posterior, model.decode(params, z, jnp.arange(num_layers))

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
    params, carry, *_ = shapes((2, 224, 224, 3), encoder="resnet50", decoder="mlp", latent_dim=10)
    assert count(params["encoder"]["trunk"]) == 25_557_032 - 2_049_000
    assert count(carry) == 53_120


@pytest.mark.parametrize("encoder", ["residual", "resnet50"])
def test_computes_in_bfloat16_and_says_float32(encoder):
    options = {"decoder": "residual", "latent_dim": 10, "dtype": "bfloat16"}
    *trees, posterior, logits = shapes((2, 64, 64, 1), encoder=encoder, **options)
    assert logits.dtype == posterior.mean.dtype == posterior.logvar.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(trees))


def test_names_the_sizes_that_a_network_takes():
    for encoder, sizes in (("residual", "64, 128"), ("resnet50", "32, 64, 128, 224")):
        with pytest.raises(ValueError, match=f"{encoder!r} takes square images of {sizes} pixels"):
            vae(image_shape=(96, 96, 1), latent_dim=10, encoder=encoder)


def test_a_residual_block_starts_as_the_identity_and_still_learns():
    block = residual.Block(Style())
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
    params = block.init(jax.random.key(1), x)["params"]
    np.testing.assert_array_equal(block.apply({"params": params}, x), x)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(block.apply({"params": p}, x) ** 2)))(params)
    assert grads.pop("gate") != 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


@pytest.fixture(scope="module")
def plan():
    """DeVAE on 32 pixels with the first block of a very narrow ResNet."""
    config = devae.get_config("toy")
    config.model.encoder, config.model.width, config.data.image_size = "resnet5", 2, 32
    with pytest.MonkeyPatch.context() as patch:
        module = functools.partial(resnet.ResNet, depths=(1,))
        patch.setitem(
            ENCODERS, "resnet5", lambda shape, width, style: module(width=width, style=style)
        )
        yield build.plan(config)


def run(plan, mode, devices, steps=3):
    engine = parallel.engine(plan.program, plan.hparams, mode=mode, devices=devices)
    return engine.advance(engine.init(), 0, steps)


@pytest.fixture(scope="module")
def one_device(plan):
    return run(plan, "jit", jax.devices()[:1])


@pytest.mark.parametrize("mode, devices", [("jit", 4), ("pmap", 4)])
def test_batch_statistics_are_those_of_the_global_batch(plan, one_device, mode, devices):
    expected_state, expected = one_device
    state, metrics = run(plan, mode, jax.devices()[:devices])
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], expected["grad_norm"], rtol=1e-4)
    for a, b in zip(*(jax.tree.leaves(s.carry) for s in (state, expected_state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_running_statistics_are_learned_and_used(plan, one_device):
    state, _ = one_device
    objective = plan.program.objective(plan.hparams, None)
    images = jax.random.uniform(jax.random.key(0), (6, 32, 32, 1))
    _, start = jax.jit(objective.init)(jax.random.key(0), images)
    for old, new in zip(jax.tree.leaves(start), jax.tree.leaves(state.carry), strict=True):
        assert np.any(old != new)
    encode = jax.jit(functools.partial(objective.encode, step=0))
    means = encode(state.params, state.carry, images).mean
    assert np.any(means != encode(state.params, start, images).mean)
    few = encode(state.params, state.carry, images[:2]).mean
    np.testing.assert_allclose(few, means[:, :2], rtol=1e-4, atol=1e-5)
