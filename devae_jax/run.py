"""A run on disk: its folder, its config, and the trained model inside.

W/config.json  W/metrics.jsonl  W/checkpoints/  W/tensorboard/  W/scores.json  W/figures/
"""

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from devae_jax import build, evaluate
from devae_jax.train import loop, parallel
from devae_jax.train.checkpoint import Checkpoints
from devae_jax.train.writer import write_text
from devae_jax.types import Array, Posterior, TrainState

CONTENTS = (
    "config.json",
    "metrics.jsonl",
    "checkpoints",
    "tensorboard",
    "scores.json",
    "figures",
    "profile",
)


def prepare(config: ConfigDict, workdir: str | Path, *, overwrite: bool = False) -> Path:
    """Makes `workdir` ready to train in, or to go on training in.

    Raises:
      ValueError: it is not writable, belongs to something else, holds a run of another
        config, or a finished run (`overwrite` deletes that first).
    """
    path = Path(workdir).absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"got workdir={path}, expected a folder; choose another --workdir")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write_probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"got workdir={path}, expected a folder that can be written ({error}); choose another"
        ) from error
    found = [item.name for item in path.iterdir()]
    if found and "config.json" not in found:
        raise ValueError(
            f"got workdir={path} with {', '.join(sorted(found)[:5])} but no config.json, expected "
            "an empty folder or a run of this library; choose another --workdir"
        )
    if overwrite:
        for name in set(found) & set(CONTENTS):
            item = path / name
            shutil.rmtree(item) if item.is_dir() else item.unlink()
    elif found:
        _check_resumable(config, path)
    write_text(path / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")
    return path


def _check_resumable(config: ConfigDict, path: Path) -> None:
    old = read_config(path)
    changed = build.differences(old, config)
    if changed:
        raise ValueError(
            f"got a config that differs from the run in {path}:\n  " + "\n  ".join(changed) + "\n"
            "expected the same run to go on; restore these keys, choose another --workdir, or "
            "start again with --overwrite"
        )
    done = Checkpoints(path / "checkpoints").steps()
    if done and done[-1] >= config.steps:
        raise ValueError(
            f"got workdir={path} with a run finished at step {done[-1]}, expected one to go on; "
            "raise --config.steps to train longer, or start again with --overwrite"
        )


def read_config(path: Path) -> ConfigDict:
    """config.json of a run."""
    try:
        return ConfigDict(json.loads((path / "config.json").read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"got {error} reading {path / 'config.json'}, expected the config of a run; restore "
            "it, or start again with --overwrite"
        ) from error


class Run:
    """A trained model: `encode`, `decode`, and the config and data it was trained with."""

    def __init__(self, config: ConfigDict, step: int, state: TrainState, plan: build.Plan):
        self.config, self.step, self.state = config, step, state
        self.dataset = plan.dataset
        self._objective = plan.program.objective(jax.tree.map(jnp.asarray, plan.hparams), None)

    def encode(self, images: Array) -> Posterior:
        """images [B, H, W, C] in [0, 1] -> posterior of every layer, leaves [K, B, D]."""
        return self._encode(self.state.params, self.state.carry, jnp.asarray(images))

    def decode(self, z: Array, layer: Array | int = 0) -> Array:
        """Latents z [N, D] of `layer` (one, or one each) -> images [N, H, W, C] in [0, 1]."""
        z = jnp.asarray(z)
        return jax.nn.sigmoid(self.logits(z, jnp.broadcast_to(jnp.asarray(layer), z.shape[:1])))

    def logits(self, z: Array, layer: Array) -> Array:
        """Latents z [N, D] of layers [N] -> logits [N, H, W, C]."""
        return self._decode(self.state.params, z, layer)

    @functools.cached_property
    def _encode(self):
        return jax.jit(lambda p, c, x: self._objective.encode(p, c, x, jnp.int32(self.step)))

    @functools.cached_property
    def _decode(self):
        return jax.jit(self._objective.decode)


def load(workdir: str | Path, *, step: int | None = None) -> Run:
    """The run in `workdir`, rebuilt from its checkpoint alone, on the first device here.

    Args:
      step: which checkpoint; default the newest that can be read.

    Raises:
      ValueError: there is no such run or checkpoint, or it cannot be read.
    """
    folder = Path(workdir) / "checkpoints"
    if not folder.is_dir():
        raise ValueError(
            f"got workdir={workdir} without checkpoints, expected a run; train first with "
            "launch/train.py"
        )
    plan, config = None, None

    def abstract(meta: dict[str, Any]) -> TrainState:
        nonlocal plan, config
        config = ConfigDict(meta["config"])
        plan = build.plan(config)
        return parallel.engine(plan.program, plan.hparams, devices=jax.local_devices()[:1]).abstract

    saved = Checkpoints(folder).restore(abstract, step)
    return Run(config, saved.step, saved.state, plan)


def train(config: ConfigDict, workdir: str | Path, *, overwrite: bool = False) -> int:
    """Trains `config` in `workdir`, from its newest checkpoint if there is one.

    Returns the step reached: short of `config.steps` if a signal stopped it.

    Raises:
      ValueError: the config, the data or the folder is wrong; nothing was compiled or lost.
      NonFiniteError: the loss became NaN or infinite.
    """
    plan = build.plan(config)
    path = prepare(config, workdir, overwrite=overwrite)
    engine = parallel.engine(
        plan.program,
        plan.hparams,
        mode=config.parallel.mode,
        devices=_devices(config.parallel.devices),
    )
    step, _ = loop.train(
        engine,
        Checkpoints(path / "checkpoints", keep=config.train.keep),
        loop.Schedule(
            steps=config.steps,
            log_every=config.train.log_every,
            checkpoint_every=config.train.checkpoint_every,
            eval_every=config.train.eval_every,
        ),
        workdir=str(path),
        meta=meta(config, plan),
        evaluate=_evaluator(config, plan),
        tensorboard=config.train.tensorboard,
        progress=config.train.progress,
    )
    return step


def _devices(count: int) -> list[jax.Device]:
    devices = jax.devices()
    if not 0 <= count <= len(devices):
        raise ValueError(
            f"got parallel.devices={count}, expected 0 (all) to {len(devices)} on this machine"
        )
    return devices[: count or None]


def _evaluator(config: ConfigDict, plan: build.Plan) -> loop.Evaluate:
    """The cheap scores during training, rows "eval/..." of metrics.jsonl."""
    objective = plan.program.objective(jax.tree.map(jnp.asarray, plan.hparams), None)
    encode = jax.jit(objective.encode)
    decode = jax.jit(objective.decode)

    def evaluate_state(state: TrainState, step: int) -> dict[str, Any]:
        scores = evaluate.cheap(
            lambda images: encode(state.params, state.carry, images, state.step),
            lambda z, layer: decode(state.params, z, layer),
            plan.dataset,
            step,
            n=config.eval.samples,
            likelihood=config.objective.likelihood,
        )
        return {f"eval/{name}": value for name, value in scores.items()}

    return evaluate_state


def meta(config: ConfigDict, plan: build.Plan) -> dict[str, Any]:
    """What a checkpoint says of itself: config and data identity."""
    return json.loads(json.dumps({"config": config.to_dict(), "data": dict(plan.dataset.identity)}))
