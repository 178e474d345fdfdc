"""Training a config in a folder."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from devae_jax.evaluation.evaluate import available, by_score, evaluate
from devae_jax.files import StorageError
from devae_jax.metrics.choice import metrics_of
from devae_jax.program import plan as programs
from devae_jax.program.keys import flatten, to_json
from devae_jax.program.plan import Plan
from devae_jax.runs.folder import Folder
from devae_jax.runs.layout import held
from devae_jax.runs.place import on_disk
from devae_jax.runs.run import Functions, Run, functions_of, runs_of
from devae_jax.training import loop
from devae_jax.training.engine import Engine, engine
from devae_jax.training.platform import precision_on, unused
from devae_jax.training.sinks import Followed, opened
from devae_jax.types import TrainState

REFUSALS = (StorageError, ValueError)  # what ends a run before it starts
T = TypeVar("T")


def train(
    config: ConfigDict | Mapping[str, Any],
    workdir: str | os.PathLike,
    *,
    overwrite: bool = False,
    profile: int = 0,
    resume_results: bool = False,
) -> Run:
    """Trains `config` in `workdir`, from its newest checkpoint if there is one.

    Args:
      config: a config, or a dict of what differs from `configs/base.py`.
      overwrite: delete the run that is in the folder.
      profile: first trace so many steps into W/profile; 0: none.
      resume_results: return a finished run that lacks scores or figures as it is, to be scored
        and drawn, instead of refusing it.

    Returns the run; its step is short of `config.steps` if a signal stopped it.

    Raises:
      ValueError: the config, the data or the folder is wrong; nothing was compiled or lost.
      NonFiniteError: the loss became NaN or infinite.
    """
    return _train(config, (), workdir, overwrite, profile, resume_results)[0]


def train_members(
    config: ConfigDict | Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    workdir: str | os.PathLike,
    *,
    overwrite: bool = False,
) -> list[Run]:
    """As `train`, a population: each of `members` holds the numbers in which it differs."""
    return _train(config, members, workdir, overwrite, 0, False)


def _train(config, members, workdir, overwrite, profile, resume_results) -> list[Run]:
    plan = together(lambda: programs.plan(programs.complete(config), members))
    folder = Folder(workdir)
    if jax.process_count() > 1:
        on_disk(workdir)
    bound = bind(plan)
    functions = functions_of(plan.program, jax.local_devices()[0].platform)
    scoring = _scoring(plan, functions)
    first = jax.process_index() == 0
    numbers = [member.numbers for member in plan.members]

    def affordable() -> None:
        """Compiles the steps and says what they need, before anything is written."""
        needed = bound.memory(0, plan.schedule.window(0))
        needed.check()
        if plan.progress and first:
            print(f"each device holds {needed}", file=sys.stderr, flush=True)

    def ready() -> None:
        """Process 0 makes the folder ready; all are checked for what they need."""
        if not first:
            return affordable()
        folder.prepare(
            plan.config,
            numbers,
            overwrite=overwrite,
            resume_results=resume_results,
            check=affordable,
        )

    with contextlib.ExitStack() as stack:
        together(lambda: stack.enter_context(folder.writing()) if first else None)
        _check_shared(folder)
        together(ready)
        if plan.progress and first:
            print(plan.conventions, _computing(plan), sep="\n", file=sys.stderr, flush=True)
        if profile:
            loop.profile(bound, profile, folder.profile)
        step, state = loop.train(
            bound,
            folder.checkpoints(keep=plan.keep),
            plan.schedule,
            meta=meta(plan),
            same_run=folder.check_same,
            open_writer=lambda step: folder.writer(
                step,
                members=numbers,
                tensorboard=_followed(plan, folder) if plan.tensorboard else (),
                sinks=opened(plan.sinks, _followed(plan, folder)),
            ),
            evaluate=scoring,
            progress=plan.progress,
        )
    states = loop.states_of(bound, state)
    return runs_of(plan, states, step=step, folder=folder, functions=functions)


def _followed(plan: Plan, folder: Folder) -> list[Followed]:
    """A run alone, or every member with its own settings: what is compared where they are shown."""
    path, varied = folder.path, {key for member in plan.members for key in member.numbers}
    return [
        Followed(path, flatten(member.config), i, varied) for i, member in enumerate(plan.members)
    ] or [Followed(path, flatten(plan.config))]


def together(work: Callable[[], T]) -> T:
    """What `work` returns here, once it has ended in every process of the job.

    Raises:
      ValueError, StorageError: what it refused here; elsewhere the same kind, with the first
        process that refused and its words.
    """
    if jax.process_count() == 1:
        return work()
    result: Any = None
    refusal: Exception | None = None
    try:
        result = work()
    except REFUSALS as error:
        refusal = error
    said = "" if refusal is None else f"{int(isinstance(refusal, ValueError))}{refusal}"
    letters = np.frombuffer(said.encode()[:4096].ljust(4096, b"\0"), np.uint8)
    everyone = multihost_utils.process_allgather(letters)
    if refusal is not None:
        raise refusal
    for process, line in enumerate(everyone):
        text = line.tobytes().rstrip(b"\0").decode(errors="replace")
        if text:
            raise REFUSALS[int(text[0])](f"process {process}: {text[1:]}")
    return result


def _check_shared(folder: Folder) -> None:
    """That all processes of a job see the folder that the first one holds: all save in it.

    Raises:
      ValueError: in every process; names those that do not.
    """
    if jax.process_count() == 1:
        return
    mine = np.frombuffer(hashlib.sha256(held(folder.path).encode()).digest(), np.uint8)
    seen = multihost_utils.process_allgather(mine)
    other = (seen != seen[0]).any(axis=1)
    if other.any():
        blind = ", ".join(map(str, np.flatnonzero(other)))
        raise ValueError(
            f"got workdir={folder} that process {blind} does not share with process 0, "
            "expected one folder for all processes, as each saves its part; choose one on a "
            "network disk"
        )


def bind(plan: Plan) -> Engine:
    """The engine of a plan, on the devices that it asks for."""
    devices, count = jax.devices(), plan.parallel.devices
    if not 0 <= count <= len(devices):
        raise ValueError(
            f"got parallel.devices={count}, expected 0 (all) to {len(devices)} on this machine"
        )
    used = {device.process_index for device in devices[: count or None]}
    idle = sorted(set(range(jax.process_count())) - used)
    if idle:
        raise ValueError(
            f"got parallel.devices={count} of the job's {len(devices)}, which leaves none to "
            f"process {', '.join(map(str, idle))}, expected 0 (all) or some of each process; set "
            "it or start fewer processes"
        )
    return engine(
        plan.program,
        programs.stacked(plan) if plan.members else plan.hparams,
        members=len(plan.members) or None,
        mode=plan.parallel.mode,
        devices=devices[: count or None],
    )


def _computing(plan: Plan) -> str:
    """In which precision a run computes here, as text, and what is not used for it."""
    platform = jax.devices()[0].platform
    precision = precision_on(platform, plan.program.precision)
    said = f"float32 products are made in {precision} ({platform})"
    return "\n".join(filter(None, (said, unused(platform))))


def meta(plan: Plan) -> dict[str, Any]:
    """What a checkpoint says of itself: config, members and data identity."""
    about = {
        "members": [member.numbers for member in plan.members],
        "data": dict(plan.dataset.identity),
    }
    return to_json(ConfigDict(about)) | {"config": to_json(plan.config)}


def _scoring(plan: Plan, functions: Functions) -> loop.Evaluate:
    """The scores in the rows of metrics.jsonl, "eval/...": the cheap ones and those asked for."""
    metrics = ("cheap", *plan.eval_metrics)
    metrics_of(metrics, available(plan.dataset, decode=True))  # refused before anything is written

    def score(run: Run) -> dict[str, Any]:
        rows = evaluate(
            run.coder,
            run.dataset,
            metrics=metrics,
            layers="all",
            seeds=(run.step,),
            calibrate=False,
            num_train=plan.eval_samples,
            num_test=max(plan.eval_samples // 2, 1),
            progress=False,
        )
        return {f"eval/{name}": value for name, value in by_score(rows).items()}

    def score_all(states: list[TrainState], step: int) -> dict[str, Any]:
        runs = runs_of(plan, states, step=step, folder=None, functions=functions)
        if not plan.members:
            return score(runs[0])
        scores = [score(run) if _is_finite(run.state.params) else None for run in runs]
        blank = jax.tree.map(lambda x: np.full(np.shape(x), np.nan), next(filter(None, scores), {}))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(row or blank for row in scores))

    return score_all


def _is_finite(tree: Any) -> bool:
    """False for a member that diverged, which has nothing to score."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(tree)))
