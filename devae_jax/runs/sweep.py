"""A sweep's folder: its programs, who trains which, and what is left to do.

W/sweep.json: the manifest, what the sweep is and its members with their seeds and numbers.
W/programs/0003.lock: who trains program 3.  W/programs/0003.json: how that went so far.
W/latent_dim=2/: the folder of a program, which trains a population.

Any number of processes drain a sweep: each takes programs that are neither finished nor taken,
until there are none. What is finished is asked of the program's folder, see `Folder`.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from devae_jax.files import LockedError, StorageError, claimed, holder, storing, write_json
from devae_jax.program import sweep as planning
from devae_jax.program.sweep import Fit, Group
from devae_jax.runs import manifest, results
from devae_jax.runs.folder import Folder
from devae_jax.runs.layout import mapping
from devae_jax.runs.place import on_disk
from devae_jax.runs.run import Run, load_members
from devae_jax.runs.train import train_members
from devae_jax.training.loop import NonFiniteError
from devae_jax.training.platform import devices

DEATHS = 3  # of processes in one program, without a checkpoint between them, until it has failed
WAIT = 5.0  # seconds between two looks at programs that others train


class Record(NamedTuple):
    """How a program went so far.

    state: "waiting", "running", "stopped", "done", "failed" or, before it was begun, "refused"
    error: why it failed or was refused
    diverged: it failed as every loss became NaN or infinite
    seconds: of training and scoring, by processes that ended in order or got to scoring
    trained: steps times members in that time
    step: of the newest checkpoint when it was last begun
    deaths: how often its process has died at that step
    device: where it was trained last
    """

    state: str = "waiting"
    error: str = ""
    diverged: bool = False
    seconds: float = 0.0
    trained: int = 0
    step: int = 0
    deaths: int = 0
    device: str = ""


def scored(runs: list[Run]) -> None:
    """Scores members as `score_members` does by default."""
    results.score_members(runs, progress=False)


class Sweep:
    """The programs of a sweep, in the folder shared by those who train them.

    finish: scores the members of a program that is trained
    """

    def __init__(
        self, path: Path, programs: Sequence[Group], finish: Callable[[list[Run]], Any] = scored
    ):
        self.path, self.programs, self.finish = path, list(programs), finish

    def folder(self, number: int) -> Folder:
        """Where a program trains."""
        return Folder(self.path / self.programs[number].name)

    def finished(self, number: int) -> bool:
        """Whether a program is trained and every member scored or diverged.

        Raises:
          ValueError: its folder holds another run.
        """
        _, config, members = self.programs[number]
        return self.folder(number).finished(config, members) and self.has_results(number)

    def has_results(self, number: int) -> bool:
        """Whether every member of a program that is trained is scored or diverged."""
        _, config, members = self.programs[number]
        return self.folder(number).has_results(config.steps, len(members))

    def reached(self, number: int) -> int:
        """The step of a program's newest checkpoint, 0 without any."""
        try:
            return max(self.folder(number).checkpoints(alone=True).steps(), default=0)
        except ValueError:
            return 0

    def record(self, number: int) -> Record:
        """How a program went so far; a damaged record says nothing."""
        try:
            return Record(**mapping(self._file(number, "json")))
        except (OSError, ValueError, TypeError):
            return Record()

    def write(self, number: int, record: Record) -> None:
        """Replaces a program's record; call it while the program is `taken`."""
        write_json(self._file(number, "json"), record._asdict())

    def holder(self, number: int) -> dict[str, Any] | None:
        """Who trains a program, as `files.holder`."""
        return holder(self._file(number, "lock"))

    @contextlib.contextmanager
    def taken(self, number: int) -> Iterator[None]:
        """Holds a program for the length of the block.

        Raises:
          LockedError: another process trains it.
        """
        with claimed(
            self._file(number, "lock"), f"program {self.programs[number].name} of {self.path}"
        ):
            yield

    def clear(self) -> None:
        """Deletes the runs and records of all programs.

        Raises:
          ValueError: another process trains one, or a folder holds something else.
        """
        with contextlib.ExitStack() as stack:
            numbers = range(len(self.programs))
            for number in numbers:
                stack.enter_context(self.taken(number))
            for number in numbers:
                if self.folder(number).path.exists():
                    with self.folder(number).writing():
                        self.folder(number).clear()
                self._file(number, "json").unlink(missing_ok=True)

    def _file(self, number: int, kind: str) -> Path:
        return self.path / "programs" / f"{number:04d}.{kind}"


def opened(
    workdir: str | os.PathLike,
    config: ConfigDict,
    axes: planning.Asked,
    *,
    at_once: int = 0,
    overwrite: bool = False,
    write: bool = True,
    say: Callable[[str], None] = print,
) -> Sweep:
    """The sweep of `axes` over `config` in its folder; the first process writes the manifest.

    How many members train at once is in the manifest, so that machines whose memory differs
    train the same programs.

    Args:
      at_once: members in one program; 0: what the manifest says, else as memory allows.
      overwrite: delete the runs that are there, of this sweep or one of the same programs.
      write: the manifest, if there is none.
      say: takes a line for each group of members.

    Raises:
      ValueError: the sweep is wrong or has a member twice, or the folder is of something else.
      StorageError: there is no room, no permission or no such disk.
    """
    path, groups = on_disk(workdir), planning.plan(config, axes)
    saved = manifest.read(path)
    before = {} if saved is None or at_once else saved["at_once"]
    sizes = {}
    for group in groups:
        if at_once:
            fit = Fit(min(at_once, len(group.members)), "--at_once")
        elif group.name in before:
            fit = Fit(before[group.name], "as the manifest says")
        else:
            fit = planning.fitting(group)
        say(f"{group.name}: {fit.members} of {len(group.members)} members at once: {fit.reason}")
        sizes[group.name] = fit.members
    wanted = manifest.described(config, axes, groups, sizes)
    found = Sweep(path, manifest.programs(groups, sizes))
    if saved is not None:
        check = manifest.check_replaced if overwrite else manifest.check_same
        check(path, saved, wanted)
    if write:
        with storing(path):
            (path / "programs").mkdir(parents=True, exist_ok=True)
        if overwrite:
            found.clear()
            (path / manifest.NAME).unlink(missing_ok=True)
        manifest.publish(path, wanted)
    return found


def drain(
    sweep: Sweep,
    numbers: Sequence[int],
    *,
    retry: bool = False,
    wait: bool = True,
    say: Callable[[str], None] = print,
) -> dict[int, Record]:
    """Trains and scores every program of `numbers` that is not finished, one after another.

    Those that others train are left to them and looked at again, as their processes may die.
    A program that failed is not tried again, one whose process died without getting further is
    tried three times; one that was refused, as its config does not fit, is tried by each call.

    Args:
      retry: try those that failed again, once.
      wait: until the others are finished; else return when all that is left is theirs.
      say: takes a line for each program that is begun or failed.

    Returns the records of the programs that failed or were refused, and of one that a signal
    stopped.
    """
    left, ended = list(numbers), dict[int, Record]()
    while left:
        others = []
        for number in left:
            try:
                with sweep.taken(number):
                    record = _attempt(sweep, number, retry, say)
            except LockedError:
                others.append(number)
                continue
            if record.state != "done":
                ended[number] = record
            if record.state == "stopped":
                return ended
        if others and not wait:
            say(f"{len(others)} programs are trained by other processes")
            break
        if others == left:
            time.sleep(WAIT)
        left = others
    return ended


def _attempt(sweep: Sweep, number: int, retry: bool, say: Callable[[str], None]) -> Record:
    """Trains and scores a program that this process has taken, as far as that is to be done."""
    about = f"program {number + 1}/{len(sweep.programs)}: {sweep.programs[number].name}"
    before = sweep.record(number)
    try:
        if before.state == "done" and sweep.finished(number):
            return before
    except ValueError as error:
        return _failed(sweep, number, before, error)
    if before.state == "failed" and not retry:
        say(f"{about} has failed: {before.error}; --retry tries it again")
        return before
    step = sweep.reached(number)
    died = before.state == "running" and step <= before.step
    deaths = before.deaths + 1 if died else 0
    record = before._replace(state="running", error="", diverged=False, step=step, deaths=deaths)
    if deaths >= DEATHS:
        died_often = RuntimeError(f"its process died {deaths} times at step {step}")
        return _failed(sweep, number, record, died_often)
    sweep.write(number, record)
    start, size = time.monotonic(), len(sweep.programs[number].members)
    say(f"{about}, {size} members")

    def ended(state: str) -> Record:
        count = max(sweep.reached(number) - step, 0) * size
        done = record._replace(
            state=state,
            deaths=0,
            seconds=record.seconds + (time.monotonic() - start if count else 0.0),
            trained=record.trained + count,
            device=devices() if count else record.device,
        )
        sweep.write(number, done)
        return done

    try:
        return ended(_trained(sweep, number, lambda: ended("running")))
    except (StorageError, LockedError):
        ended("stopped")
        raise
    except Exception as error:
        return _failed(sweep, number, ended("failed"), error)
    except BaseException:
        ended("stopped")
        raise


def _trained(sweep: Sweep, number: int, note: Callable[[], Any]) -> str:
    """Trains, calls `note`, and scores a program; "done", or "stopped" by a signal."""
    _, config, members = sweep.programs[number]
    folder = sweep.folder(number)
    if folder.finished(config, members):
        if not sweep.has_results(number):
            # `finished` found this very config in the folder: its code is the user's.
            sweep.finish(load_members(folder.path, trust=True))
        return "done"
    runs = train_members(config, members, folder.path)
    if runs[0].step < config.steps:
        return "stopped"
    note()
    sweep.finish(runs)
    return "done"


def _failed(sweep: Sweep, number: int, record: Record, error: Exception) -> Record:
    """Notes why a program failed, in one line."""
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    failed = record._replace(
        state="refused" if isinstance(error, ValueError) else "failed",
        error=reason[:500],
        diverged=isinstance(error, NonFiniteError),
    )
    sweep.write(number, failed)
    print(f"error: {sweep.programs[number].name}: {reason}", file=sys.stderr, flush=True)
    return failed
