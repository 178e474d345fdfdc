"""The training loop: steps, checks, scores, rows and checkpoints, in one order."""

import contextlib
import dataclasses
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.engine import Engine
from devae_jax.training.progress import Progress
from devae_jax.training.step import is_watched
from devae_jax.training.writer import Writer
from devae_jax.types import Metrics, TrainState

# Users and schedulers stop a run by these; SLURM's --signal sends one of the latter two.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

# (the state of every run, on this process's first device; step) -> a row of scores
Evaluate = Callable[[list[TrainState], int], Mapping[str, Any]]


class NonFiniteError(ArithmeticError):
    """A loss became NaN or infinite; the last checkpoint is from before."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """When things happen, in steps; all but `steps` multiples of `log_every`."""

    steps: int
    log_every: int
    checkpoint_every: int
    eval_every: int  # 0: never

    def window(self, step: int) -> int:
        """Steps until the next log point."""
        return min(self.log_every - step % self.log_every, self.steps - step)

    def due(self, every: int, step: int) -> bool:
        return bool(every) and (step % every == 0 or step >= self.steps)


def train(
    engine: Engine,
    checkpoints: Checkpoints,
    schedule: Schedule,
    *,
    meta: dict[str, Any],
    same_run: Callable[[dict[str, Any]], None] = lambda saved: None,
    open_writer: Callable[[int], Writer],
    evaluate: Evaluate | None = None,
    progress: bool = True,
) -> tuple[int, TrainState]:
    """Trains to `schedule.steps` or until one of `STOPS` comes, from the newest good checkpoint.

    Args:
      meta: what the checkpoints say of themselves; "data" and "members" must be those of the
        checkpoint that the run goes on from.
      same_run: raises ValueError for the meta of a checkpoint of another run.
      open_writer: of the rows from a step on; called by the first process.
      evaluate: scores; called by the first process.

    Returns the step reached, short of `schedule.steps` if a signal came, and the state.

    In a job of many processes all compute and save together; the first one scores, writes and
    shows.

    Raises:
      NonFiniteError: names the step and the terms; earlier checkpoints are kept. Of a
        population only when no member is left; the rows of the others go on.
    """
    step, state = 0, None
    if checkpoints.steps():

        def abstract(saved: dict[str, Any]) -> TrainState:
            for what in ("data", "members"):
                if saved[what] != meta[what]:
                    raise ValueError(
                        f"got {what} {meta[what]}, expected those of the run, {saved[what]}; "
                        "restore them or start again with --overwrite"
                    )
            same_run(saved)
            return engine.abstract

        step, state, _ = checkpoints.restore(abstract)
    checkpoints.discard_after(step)
    state = engine.init() if state is None else state
    first = jax.process_index() == 0
    writer = open_writer(step) if first else None
    bar = Progress(schedule.steps, initial=step, enabled=progress and first, members=engine.members)
    received: list[int] = []
    with _signals(received) as stopped, _closed_after(checkpoints, writer):
        stop = False
        while step < schedule.steps and not stop:
            # The order of effects, always: train one window, check it, evaluate, write, save.
            start, count = time.perf_counter(), schedule.window(step)
            state, metrics = engine.advance(state, step, count)
            check_finite(metrics, step, engine.members)
            step += count
            row = window_mean(metrics)
            rate = count / (time.perf_counter() - start)
            if evaluate is not None and schedule.due(schedule.eval_every, step):
                states = states_of(engine, state)
                row |= evaluate(states, step) if first else {}
            if writer is not None:
                writer.write(step, row, {"steps_per_second": rate})
            bar.update(step, row, rate)
            stop = stopped()
            if schedule.due(schedule.checkpoint_every, step) or stop:
                checkpoints.save(step, state, meta)
    bar.close()
    if step >= schedule.steps:
        _hand_on(received)
    return step, state


@contextlib.contextmanager
def _closed_after(checkpoints: Checkpoints, writer: Writer | None) -> Iterator[None]:
    """Waits for what is being saved and closes the files, also after an error, which goes first."""
    try:
        yield
    except BaseException:
        if jax.process_count() == 1:  # the others of a job may be past waiting
            with contextlib.suppress(OSError):
                checkpoints.close()
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
        raise
    checkpoints.close()
    if writer is not None:
        writer.close()


def states_of(engine: Engine, state: TrainState) -> list[TrainState]:
    """The state of every run, on this process's first device."""
    members = [None] if engine.members is None else range(engine.members)
    return [engine.member(state, member) for member in members]


def profile(engine: Engine, steps: int, folder: str | os.PathLike) -> None:
    """Writes a trace of `steps` compiled steps from a fresh state: no effect on the run."""
    state, _ = engine.advance(engine.init(), 0, steps)
    with jax.profiler.trace(folder, create_perfetto_trace=True):
        engine.advance(state, steps, steps)


def window_mean(metrics: Metrics) -> dict[str, Any]:
    """Means over the steps of a window; NaN marks what a step did not measure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a layer not drawn in this window
        return {
            name: np.nanmean(np.asarray(value, np.float64), axis=0).astype(np.float32)
            for name, value in metrics.items()
        }


def check_finite(metrics: Metrics, step: int, members: int | None = None) -> None:
    """Raises `NonFiniteError` for the first step of a window with a bad loss or gradient.

    Of a population: the first step at which no member is good. Where bad steps are skipped: if
    all of a window are bad.
    """
    names = ("loss", "grad_norm")
    watched = {k: np.asarray(v) for k, v in metrics.items() if is_watched(k)}
    bad = {
        name: ~np.isfinite(v.reshape(len(v), members or 1, -1)).all(axis=2)
        for name, v in watched.items()
    }
    lost = (bad["loss"] | bad["grad_norm"]).all(axis=1)
    if lost.all() if "skipped" in metrics else lost.any():
        first = int(lost.argmax())
        broken = [name for name in bad if bad[name][first].all()]
        terms = [name for name in broken if name not in names] or broken or ["loss"]
        raise NonFiniteError(
            f"got a non-finite loss at step {step + first} in {', '.join(terms)}, expected finite "
            "numbers; the last checkpoint is good: lower optimizer.learning_rate or the penalty "
            "and resume or start again"
        )


@contextlib.contextmanager
def _signals(received: list[int]) -> Iterator[Callable[[], bool]]:
    """Turns the signals of `STOPS` into a wish to stop; a second one stops at once."""

    def stopped() -> bool:
        """Whether any process of the job was told to stop: all stop at the same step."""
        if jax.process_count() == 1:
            return bool(received)
        return bool(multihost_utils.process_allgather(np.array(bool(received))).any())

    def note(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, note) for number in STOPS}
    try:
        yield stopped
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _hand_on(received: list[int]) -> None:
    """A signal that came in the last window stops nothing here: it is for what comes after."""
    for number in received[:1]:
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            handler(number, None)
