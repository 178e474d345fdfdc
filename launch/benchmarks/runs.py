"""Programs to time: the method of the paper as the library trains it."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from devae_jax import rng
from devae_jax.configs import beta_vae, devae
from devae_jax.launch.benchmarks.measure import Options
from devae_jax.program.plan import Plan
from devae_jax.training.engine import Engine, Steps, mesh_of
from devae_jax.training.step import Program

BETAS = (1.0, 10.0, 40.0)


def config(options: Options, *, batch: int, layers: int, **changes: object) -> ConfigDict:
    """beta-VAE (K = 1) or DeVAE (K = 3) on dSprites, 64 x 64 pixels; `tiny`: what compiles fast."""
    made = devae.get_config() if layers > 1 else beta_vae.get_config("vae")
    made.batch_size, made.model.width = batch, 32
    made.data.data_dir = options.data_dir or ""
    made.train.progress = False
    if options.tiny:
        made.data.name, made.data.image_size, made.model.width = "toy", 32, 4
        made.model.encoder = made.model.decoder = "mlp"
    made.update_from_flattened_dict(changes)
    return made


def images_of(program: Program) -> np.ndarray:
    """Images [B, H, W, C] of the first step."""
    source = program.source
    key = rng.stream(rng.seed(0), "data")
    return np.asarray(jax.jit(source.take)(source.arrays, key, np.int32(0))["image"])


def fixed(program: Program, images: np.ndarray) -> Program:
    """`program` on the same images at every step: without the cost of data."""
    batch = {"image": images}
    return program._replace(
        source=program.source._replace(arrays=batch, take=lambda arrays, *_: arrays)
    )


def stepper(engine: Engine, steps: int) -> Callable[[], None]:
    """A call that trains `steps` steps and waits for them."""
    state, step = engine.init(), 0

    def call():
        nonlocal state, step
        state, _ = engine.advance(state, step, steps)
        step += steps

    return call


def one_device(program: Program) -> Steps:
    """One call of the step on the first device."""
    return Steps(program, mesh_of(jax.devices()[:1]))


def megabytes(plan: Plan) -> dict[str, float]:
    """What training holds: state and tables of data, and the most that one step adds."""
    steps = one_device(plan.program)
    analysis: Any = steps.lower(plan.hparams).compile().memory_analysis()
    state = steps.abstract(plan.hparams)
    size = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))  # noqa: E731
    return {
        "state_mb": size((state.params, state.carry, state.opt_state)) / 2**20,
        "tables_mb": size(plan.program.source.arrays) / 2**20,
        "step_mb": analysis.temp_size_in_bytes / 2**20,
    }


def gigaflop(
    settings: ConfigDict, image_shape: tuple[int, int, int], decoded: int | None = None
) -> float:
    """Of one training step: two a multiply-add, forward, and both gradients.

    `decoded` is how many layers are decoded, default all.
    The first layer needs no gradient of its input; everything but convolutions and dense
    layers is left out, below 1 %.
    """
    size, _, channels = image_shape
    width, latents = settings.model.width, settings.model.latent_dim
    layers, batch = settings.model.num_layers, settings.batch_size
    maps = [channels] + [width] * (2 if size == 64 else 1) + [2 * width] * 2
    outputs = [(size >> i) ** 2 for i in range(1, len(maps))]
    pairs = zip(itertools.pairwise(maps), outputs, strict=True)
    strided = [16 * before * after * count for (before, after), count in pairs]
    units = 8 * width
    trunk = sum(strided) + 16 * maps[-1] * units
    encoder = trunk + units * 2 * latents
    decoder = trunk + units * latents * (2 if layers > 1 else 1)
    return 2e-9 * batch * (3 * encoder - strided[0] + 3 * (decoded or layers) * decoder)
