"""Checkpoints: the only place that knows orbax.

One checkpoint is the `TrainState` and a JSON `meta` (config, data identity), written
atomically. Restoring takes shapes with shardings, so that a run saved on any number of
devices, in either parallel mode, can be read on any other machine.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from devae_jax.types import TrainState

_log = logging.getLogger(__name__)


class CorruptCheckpointError(ValueError):
    """No checkpoint of a run could be read."""


class Saved(NamedTuple):
    """One checkpoint, read."""

    step: int
    state: TrainState
    meta: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in `directory/<step>`.

    alone: for this process only; otherwise all processes of a job do everything together.
    """

    def __init__(self, directory: str | Path, *, keep: int = 3, alone: bool = False):
        self.directory = Path(directory).resolve()
        me = jax.process_index()
        processes = ocp.options.MultiprocessingOptions(
            primary_host=me if alone else 0,
            active_processes={me} if alone else None,
            barrier_sync_key_prefix=f"process{me}" if alone else None,
        )
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.LatestN(keep),
                save_decision_policy=checkpoint_managers.FixedIntervalPolicy(1),
                create=not alone,
                multiprocessing_options=processes,
            ),
        )

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, oldest first."""
        return sorted(self._manager.all_steps())

    def meta(self, step: int) -> dict[str, Any]:
        """What was saved beside the state of `step`."""
        return self._manager.restore(
            step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
        ).meta

    def save(self, step: int, state: TrainState, meta: dict[str, Any]) -> None:
        """Writes in the background; the previous checkpoints stay until it is complete."""
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)
            ),
        )

    def restore(self, abstract: Callable[[dict], TrainState], step: int | None = None) -> Saved:
        """What was saved at `step`, or the newest that can be read; says which cannot.

        Args:
          abstract: meta -> `ShapeDtypeStruct`s with the shardings wanted.

        Raises:
          ValueError: there is no checkpoint (at `step`).
          CorruptCheckpointError: there are, but none can be read.
        """
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise ValueError(
                f"got no checkpoint{'' if step is None else f' of step {step}'} in "
                f"{self.directory}, expected one of {steps or 'a training run'}; train first"
            )
        for candidate in [step] if step is not None else reversed(steps):
            meta = self._read(candidate, meta=ocp.args.JsonRestore())
            if meta is None:
                continue
            shapes = abstract(meta)
            state = self._read(candidate, state=ocp.args.StandardRestore(shapes))
            if state is not None:
                return Saved(candidate, state, meta)
        raise CorruptCheckpointError(
            f"got no readable checkpoint among steps {steps} in {self.directory}, expected at "
            "least one; restore the folder from a copy or train again with --overwrite"
        )

    def _read(self, step: int, **item: Any) -> Any:
        """One item of a checkpoint, or None with a warning if it is damaged."""
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**item))
            return restored[next(iter(item))]
        except Exception as error:  # orbax raises many kinds for a damaged folder
            reason = str(error).split("\n")[0][:200]
            _log.warning(
                "checkpoint of step %d in %s cannot be read (%s: %s); trying the one before",
                *(step, self.directory, type(error).__name__, reason),
            )
            return None

    def discard_after(self, step: int) -> None:
        """Deletes checkpoints newer than `step`: those found damaged by `restore`."""
        for newer in self.steps():
            if newer > step:
                self._manager.delete(newer)

    def close(self) -> None:
        """Waits for the last write."""
        self._manager.wait_until_finished()
        self._manager.close()
