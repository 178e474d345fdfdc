"""Checkpoints: the only place that knows orbax.

One checkpoint is the `TrainState` and a JSON record: `meta` (config, data identity), the step, a
digest of every array and one of the record, written atomically. Reading checks all of them.
Restoring takes shapes with shardings, so that a run saved on any number of devices, in either
parallel mode, can be read on any other machine.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from devae_jax.files import FORMAT, FormatError, StorageError, check_room, readable, storing
from devae_jax.training import digests
from devae_jax.types import TrainState

OVERHEAD = 100_000  # bytes of a checkpoint beside its arrays
DAMAGED = "damaged"  # ends the name of a checkpoint that was set aside
_NAMES = ocp.path.step.standard_name_format()
_log = logging.getLogger(__name__)


class CorruptCheckpointError(ValueError):
    """A checkpoint is not what was written."""


class Saved(NamedTuple):
    """One checkpoint, read."""

    step: int
    state: TrainState
    meta: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in `directory/<step>`.

    alone: for this process only; otherwise all processes of a job do everything together.
    saved: called after each checkpoint, which is then waited for.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 3,
        alone: bool = False,
        saved: Callable[[], None] | None = None,
    ):
        self._saved = saved
        self.directory = Path(directory).resolve()
        me = jax.process_index()
        self._together = jax.process_count() > 1 and not alone
        processes = ocp.options.MultiprocessingOptions(
            primary_host=me if alone else 0,
            active_processes={me} if alone else None,
            barrier_sync_key_prefix=f"process{me}" if alone else None,
        )
        with self._storing():
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=checkpoint_managers.LatestN(keep),
                    save_decision_policy=checkpoint_managers.FixedIntervalPolicy(1),
                    create=not alone,
                    # The metadata of one that its writer deletes meanwhile cannot be read.
                    lightweight_initialize=True,
                    multiprocessing_options=processes,
                ),
            )

    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first; an empty folder is none, nor one just deleted."""
        listed: list[int] | None = None
        while listed != (listed := self._folders(again=listed is not None)):
            # A second time where all that was listed went meanwhile, and others came.
            if found := [s for s in listed if any((self.directory / str(s)).glob("*"))]:
                return found
        return []

    def good_steps(self) -> Iterator[int]:
        """Steps whose checkpoint is what was written, newest first; says which are not."""
        for step in reversed(self.steps()):
            if isinstance(self._checked(step, lambda _: None), Saved):
                yield step

    def meta(self, step: int) -> dict[str, Any]:
        """What was saved beside the state of `step`.

        Raises:
          CorruptCheckpointError: it is damaged.
          FormatError: another version of the library wrote it.
        """
        return self._record(step)["meta"]

    def save(self, step: int, state: TrainState, meta: dict[str, Any]) -> None:
        """Writes in the background; the previous checkpoints stay until it is complete.

        Raises:
          StorageError: there is no room, no permission or no folder, now or for the write before.
        """
        if step in self._folders():
            return
        arrays = digests.of_arrays(
            state, members=bool(meta.get("members")), together=self._together
        )
        record = {"format": FORMAT, "step": step, "meta": meta, "arrays": arrays}
        record["digest"] = digests.of_json(record)
        # Asked for here: what fails in orbax' threads fills the screen with their traces.
        check_room(self.directory, OVERHEAD + sum(x.nbytes for x in jax.tree.leaves(state)))
        with self._storing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(record)
                ),
            )
            if self._saved is not None:
                self._manager.wait_until_finished()
        if self._saved is not None:
            self._saved()

    def restore(self, abstract: Callable[[dict], TrainState], step: int | None = None) -> Saved:
        """What was saved at `step`, or the newest that is whole; says which are not.

        Args:
          abstract: meta -> `ShapeDtypeStruct`s with the shardings wanted.

        Raises:
          ValueError: there is no checkpoint (at `step`).
          CorruptCheckpointError: there are, but all are damaged.
          FormatError: another version of the library wrote the newest that is whole.
        """
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise ValueError(
                f"got no checkpoint{'' if step is None else f' of step {step}'} in "
                f"{self.directory}, expected one of {steps or 'a training run'}; train first"
            )
        problem = ""
        for candidate in [step] if step is not None else reversed(steps):
            checked = self._checked(candidate, abstract)
            if isinstance(checked, Saved):
                return checked
            problem = problem or checked
        raise CorruptCheckpointError(
            f"got no readable checkpoint among steps {steps} in {self.directory} ({problem}), "
            "expected at least one; restore the folder from a copy or train again with --overwrite"
        )

    def discard_after(self, step: int) -> None:
        """Sets checkpoints newer than `step` aside, those found damaged by `restore`.

        They become `directory/<step>.damaged`; empty folders are removed.
        """
        newer = [found for found in self._folders() if found > step]
        if jax.process_index() == 0:
            with self._storing():
                for found in newer:
                    folder = self.directory / str(found)
                    aside = self.directory / f"{found}.{DAMAGED}"
                    shutil.rmtree(aside, ignore_errors=True)
                    folder.rename(aside) if any(folder.iterdir()) else folder.rmdir()
        if self._together:
            multihost_utils.sync_global_devices("damaged checkpoints are set aside")
        self._manager.reload()

    def close(self) -> None:
        """Waits for the last write.

        Raises:
          StorageError: there was no room, no permission or no folder for it.
        """
        with self._storing():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """As `files.storing`, also of orbax' errors; what it has half written makes room."""
        try:
            with storing(self.directory):
                try:
                    yield
                except ValueError as error:  # of tensorstore, which has no kinds of errors
                    code = re.search(r"os_error_code='(\d+)'", str(error))
                    if code is None:
                        raise
                    raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
        except StorageError:
            if not self._together:
                for item in self.directory.glob("*.orbax-checkpoint-tmp*"):
                    shutil.rmtree(item, ignore_errors=True)
            raise

    def _folders(self, *, again: bool = False) -> list[int]:
        """Steps of the folders that were there when the manager looked, or are there now."""
        if not again:
            return sorted(self._manager.all_steps())
        # By name alone: the manager's `reload` dates each folder, and fails at one just deleted.
        return sorted(found.step for found in _NAMES.find_all(self.directory))

    def _checked(self, step: int, abstract: Callable[[dict], Any]) -> Saved | str:
        """A checkpoint that is what was written, or a warning and the reason why it is not."""
        record, problem = self._tried(lambda: self._record(step))
        state: Any = None
        if not problem:
            shapes = abstract(record["meta"])  # its errors are no damage
            state, problem = self._tried(lambda: self._state(step, record, shapes))
        if problem:
            _log.warning("checkpoint of step %d in %s: %s", step, self.directory, problem)
            return f"step {step}: {problem}"
        return Saved(step, state, record["meta"])

    def _tried(self, read: Callable[[], Any]) -> tuple[Any, str]:
        """What was read and no problem, or the problem; the same in all processes of a job."""
        try:
            value, problem = read(), ""
        except FormatError:
            raise  # whole, and of another version: not to be passed over
        except Exception as error:  # orbax raises many kinds for a damaged folder
            reason = next(iter(str(error).splitlines()), "")[:200]
            known = isinstance(error, CorruptCheckpointError)
            value, problem = None, reason if known else f"{type(error).__name__}: {reason}"
        if self._together:
            failed = multihost_utils.process_allgather(np.array(bool(problem)))
            problem = problem or ("another process cannot read it" if failed.any() else "")
        return value, problem

    def _record(self, step: int) -> dict[str, Any]:
        """The JSON of a checkpoint, checked."""
        record = self._manager.restore(
            step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
        ).meta
        if not isinstance(record, dict) or "format" not in record:
            raise CorruptCheckpointError(
                "its record is damaged or of another version of the library; read it with the "
                "version that wrote it"
            )
        content = {name: value for name, value in record.items() if name != "digest"}
        if digests.of_json(content) != record.get("digest"):
            raise CorruptCheckpointError("its metadata is not what was written")
        readable(record, f"checkpoint {step} in {self.directory}")
        if record["step"] != step:
            raise CorruptCheckpointError(
                f"its folder was renamed, it holds step {record['step']}; rename it back"
            )
        meta = record["meta"]
        members = meta.get("members") if isinstance(meta, dict) else None
        parts = [meta.get(name) for name in ("config", "data")] if isinstance(meta, dict) else []
        sections = [*parts, *(members if isinstance(members, list) else [None])]
        if not (parts and all(isinstance(section, dict) for section in sections)):
            raise CorruptCheckpointError("its metadata lacks config, data or members of a run")
        return record

    def _state(self, step: int, record: dict[str, Any], shapes: Any) -> Any:
        """The state of a checkpoint, checked; without `shapes` as dicts, on one device."""
        shapes = self._saved_shapes(step) if shapes is None else shapes
        state = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        ).state
        found = digests.of_arrays(
            state, members=bool(record["meta"].get("members")), together=self._together
        )
        changed = digests.differing(record["arrays"], found)
        if changed:
            raise CorruptCheckpointError(
                f"{', '.join(changed[:3])}{' and others' if len(changed) > 3 else ''} "
                f"{'is' if len(changed) == 1 else 'are'} not what was written"
            )
        reached = state["step"] if isinstance(state, dict) else state.step
        if (np.asarray(reached.addressable_data(0)) != step).any():
            raise CorruptCheckpointError(f"its state is not of step {step}")
        return state

    def _saved_shapes(self, step: int) -> Any:
        """What a state looks like, for this process alone, whatever devices it was saved on."""
        tree = ocp.StandardCheckpointHandler().metadata(self.directory / str(step) / "state").tree
        place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
        )
