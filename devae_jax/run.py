"""Training a config in a folder, and the trained model that is inside."""

import copy
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from devae_jax import build, evaluate
from devae_jax.metrics.registry import CHEAP, resolve
from devae_jax.train import loop, parallel, population
from devae_jax.train.checkpoint import Checkpoints
from devae_jax.types import Array, Posterior, TrainState
from devae_jax.workdir import prepare


class Run:
    """A trained model: `encode`, `decode`, and the config and data it was trained with."""

    def __init__(self, config: ConfigDict, step: int, state: Any, plan: build.Plan):
        self.config, self.step, self.state = config, step, state
        self.dataset, self._hparams = plan.dataset, plan.hparams
        program = plan.program

        def encode(hparams, params, carry, images, step):
            return program.objective(hparams, None).encode(params, carry, images, step)

        def decode(hparams, params, z, layer):
            return program.objective(hparams, None).decode(params, z, layer)

        self._encode = jax.jit(program.precisely(encode))
        self._decode = jax.jit(program.precisely(decode))

    def of(self, config: ConfigDict, state: Any) -> "Run":
        """Another member of the same population; shares what is compiled."""
        other = copy.copy(self)
        other.config, other.state = config, state
        other._hparams = build.hyperparameters(config)
        return other

    def encode(self, images: Array) -> Posterior:
        """images [B, H, W, C] in [0, 1] -> posterior of every layer, leaves [K, B, D]."""
        params, carry, step = self.state.params, self.state.carry, jnp.int32(self.step)
        return self._encode(self._hparams, params, carry, jnp.asarray(images), step)

    def decode(self, z: Array, layer: Array | int = 0) -> Array:
        """Latents z [N, D] of `layer` (one, or one each) -> images [N, H, W, C] in [0, 1]."""
        z = jnp.asarray(z)
        return jax.nn.sigmoid(self.logits(z, jnp.broadcast_to(jnp.asarray(layer), z.shape[:1])))

    def logits(self, z: Array, layer: Array) -> Array:
        """Latents z [N, D] of layers [N] -> logits [N, H, W, C]."""
        return self._decode(self._hparams, self.state.params, z, layer)


def load(workdir: str | Path, *, step: int | None = None, member: int | None = None) -> Run:
    """The run in `workdir`, rebuilt from its checkpoint alone, on the first device here.

    Args:
      step: which checkpoint; default the newest that can be read.
      member: which member, if the run is a population.

    Raises:
      ValueError: there is no such run, checkpoint or member, or it cannot be read.
    """
    whole, members = _restore(workdir, step)
    if members and member not in range(len(members)):
        raise ValueError(
            f"got member={member}, expected 0 to {len(members) - 1}: {workdir} holds a "
            "population; choose one"
        )
    if not members and member is not None:
        raise ValueError(f"got member={member}, expected none: {workdir} holds one run")
    return whole if member is None else _part(whole, members, member)


def load_members(workdir: str | Path, *, step: int | None = None) -> list[Run]:
    """All members of the population in `workdir`, or its one run; as `load`."""
    whole, members = _restore(workdir, step)
    return [_part(whole, members, i) for i in range(len(members))] or [whole]


def _restore(workdir: str | Path, step: int | None) -> tuple[Run, list[dict[str, Any]]]:
    """What a checkpoint holds, stacked if it is a population, and the members' numbers."""
    folder = Path(workdir) / "checkpoints"
    if not folder.is_dir():
        raise ValueError(
            f"got workdir={workdir} without checkpoints, expected a run; train first with "
            "launch/train.py"
        )
    rebuilt: dict[str, Any] = {}

    def abstract(meta: dict[str, Any]) -> TrainState:
        config = ConfigDict(meta["config"])
        rebuilt.update(config=config, members=meta["members"], plan=build.plan(config))
        devices = jax.local_devices()[:1]
        return _engine(config, rebuilt["plan"], meta["members"], devices).abstract

    saved = Checkpoints(folder, alone=True).restore(abstract, step)
    return Run(rebuilt["config"], saved.step, saved.state, rebuilt["plan"]), rebuilt["members"]


def _part(whole: Run, members: Sequence[Mapping[str, Any]], index: int) -> Run:
    """One member of a stacked population."""
    return whole.of(of_member(whole.config, members[index]), population.member(whole.state, index))


def of_member(config: ConfigDict, overrides: Mapping[str, Any]) -> ConfigDict:
    """The config of one member: {"objective.scale": 0.5} laid over the population's."""
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(overrides)
    return config


def train(
    config: ConfigDict,
    workdir: str | Path,
    *,
    members: Sequence[Mapping[str, Any]] = (),
    overwrite: bool = False,
    profile: int = 0,
) -> int:
    """Trains `config` in `workdir`, from its newest checkpoint if there is one.

    Args:
      members: train a population; each entry holds the numbers in which a member differs,
        {"seed": 1, "objective.scale": 0.5}.
      profile: first trace so many steps into W/profile; 0: none.

    Returns the step reached: short of `config.steps` if a signal stopped it.

    Raises:
      ValueError: the config, the data or the folder is wrong; nothing was compiled or lost.
      NonFiniteError: the loss became NaN or infinite.
    """
    plan = build.plan(config)
    evaluator = _evaluator(config, plan, members)
    engine = _engine(config, plan, members, _devices(config.parallel.devices))
    path = Path(workdir).absolute()
    if jax.process_index() == 0:
        prepare(config, path, overwrite=overwrite)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("the folder is ready")
    if config.train.progress and jax.process_index() == 0:
        print(build.conventions(config, plan.dataset), file=sys.stderr, flush=True)
    if profile:
        loop.profile(engine, profile, path / "profile")
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
        meta=meta(config, plan, members),
        evaluate=evaluator,
        tensorboard=config.train.tensorboard,
        progress=config.train.progress,
    )
    return step


def _engine(
    config: ConfigDict, plan: build.Plan, members: Sequence[Mapping[str, Any]], devices: list
) -> parallel.Engine:
    if not members:
        return parallel.engine(
            plan.program, plan.hparams, mode=config.parallel.mode, devices=devices
        )
    each = [build.hyperparameters(of_member(config, member)) for member in members]
    return population.engine(plan.program, population.stack(each), devices=devices)


def _devices(count: int) -> list[jax.Device]:
    devices = jax.devices()
    if not 0 <= count <= len(devices):
        raise ValueError(
            f"got parallel.devices={count}, expected 0 (all) to {len(devices)} on this machine"
        )
    return devices[: count or None]


def _evaluator(
    config: ConfigDict, plan: build.Plan, members: Sequence[Mapping[str, Any]]
) -> loop.Evaluate:
    """The scores in the rows of metrics.jsonl, "eval/...": the cheap ones and those asked for."""
    names = [name for name in resolve(config.eval.metrics) if name not in CHEAP]

    def score(run: Run) -> dict[str, Any]:
        scores = evaluate.cheap(
            run.encode,
            run.logits,
            plan.dataset,
            run.step,
            n=config.eval.samples,
            likelihood=config.objective.likelihood,
        )
        scores |= evaluate.further(
            run.encode, plan.dataset, run.step, names=names, n=config.eval.samples
        )
        return {f"eval/{name}": value for name, value in scores.items()}

    whole = Run(config, 0, None, plan)

    def evaluate_state(state: TrainState, step: int) -> dict[str, Any]:
        whole.step, whole.state = step, state
        if not members:
            return score(whole)
        runs = [_part(whole, members, i) for i in range(len(members))]
        scores = [score(run) if _is_finite(run.state.params) else None for run in runs]
        blank = jax.tree.map(lambda x: np.full(np.shape(x), np.nan), next(filter(None, scores), {}))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(own or blank for own in scores))

    return evaluate_state


def _is_finite(tree: Any) -> bool:
    """False for a member that diverged, which has nothing to score."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(tree)))


def meta(
    config: ConfigDict, plan: build.Plan, members: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What a checkpoint says of itself: config, members and data identity."""
    about = {
        "config": config.to_dict(),
        "members": [dict(member) for member in members],
        "data": dict(plan.dataset.identity),
    }
    return json.loads(json.dumps(about))
