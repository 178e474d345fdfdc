"""ResNet-50 with wide latents, in bfloat16, trains for real steps."""

import itertools

import jax
import numpy as np
import pytest

from devae_jax.program import plan as programs
from devae_jax.training.engine import engine
from tests.laws.registry import config_of

CASES = list(itertools.product(("devae", "beta_vae"), (1024, 2048), (64, 128)))


def plan_of(method, dim, size, remat):
    config = config_of(method)
    config.data.name, config.data.image_size, config.batch_size = "toy_rgb", size, 4
    config.model.update({"encoder": "resnet50", "decoder": "residual", "width": None})
    config.model.update({"latent_dim": dim, "dtype": "bfloat16", "remat": remat})
    config.optimizer.learning_rate = 1e-4
    return programs.plan(config)


@pytest.mark.slow
@pytest.mark.parametrize("method, dim, size", CASES)
def test_resnet50_trains(method, dim, size):
    plan = plan_of(method, dim, size, remat=True)
    bound = engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    state = bound.init()
    before = jax.tree.map(np.asarray, state.params["model"]["encoder"])
    state, metrics = bound.advance(state, 0, 3)
    assert np.isfinite(metrics["loss"]).all() and np.isfinite(metrics["grad_norm"]).all()
    after = state.params["model"]["encoder"]
    moved = jax.tree.map(lambda a, b: float(np.abs(a - np.asarray(b)).max()), before, after)
    assert min(jax.tree.leaves(moved)) > 0  # every kernel, gate and bias of the encoder
    kernel = after["head"]["kernel"]
    heads = 2 * dim
    assert kernel.shape == (2048, heads) and kernel.dtype == np.float32
