"""Every method's step can be made for platforms that are not here."""

import jax
import pytest

from devae_jax.objectives import METHODS
from devae_jax.program import plan as programs
from devae_jax.training.step import Layout, init, train_step
from tests.laws.registry import config_of

PLATFORMS = {"gpu": ("cuda", "rocm"), "tpu": ("tpu",)}  # of a layout -> compilers' names of it


def lowered(config, platform):
    plan = programs.plan(config)
    state = jax.eval_shape(lambda: init(plan.program, plan.hparams))
    layout = Layout(platform=platform)
    step = jax.jit(lambda *given: train_step(plan.program, *given, layout))
    traced = step.trace(plan.hparams, state, plan.program.source.arrays)
    return traced.lower(lowering_platforms=PLATFORMS[platform]).as_text()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_lowers(method, platform):
    assert "stablehlo.dot_general" in lowered(config_of(method), platform)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_convolutions_lower_as_such(platform):
    config = config_of("vae")
    config.model.encoder = config.model.decoder = "conv"
    config.data.image_size = 32
    assert "stablehlo.convolution" in lowered(config, platform)
