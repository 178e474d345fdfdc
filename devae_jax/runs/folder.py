"""A run's folder: what lies where, who may write into it, and whether its run is finished.

W/config.json  W/metrics.jsonl  W/checkpoints/  W/tensorboard/  W/scores.json  W/figures/
W/tensorboard/member_i/, W/figures/member_i/: of member i of a population.
W/results.json: which members' figures are drawn, which diverged.  W/.lock: who trains here.
W/wandb/, W/mlruns/: of services that follow the run.

A run is finished where a checkpoint that is whole is of its last step, `finished`. It has its
results where every member is scored at that step or diverged; a run alone is drawn too.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from devae_jax.files import FORMAT, read_rows, readable, storing, write_json
from devae_jax.program.saved import config_of, differences
from devae_jax.runs.layout import (
    LOCK,
    check_kinds,
    deletable,
    mapping,
    part_of,
    present,
    remove_left,
)
from devae_jax.runs.place import patient, place_of
from devae_jax.runs.scores import are_members, read
from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.sinks import Followed
from devae_jax.training.writer import Events, Writer, write_pictures


class Folder:
    """The folder of one run or population."""

    def __init__(self, path: str | os.PathLike):
        """Raises ValueError for an address that nothing here opens; see `place_of`."""
        self.place = place_of(path)

    def __str__(self) -> str:
        return self.place.address

    @property
    def path(self) -> Path:
        """On this machine; of a store, a copy."""
        return self.place.here

    @property
    def name(self) -> str:
        """Of the run, in rows of scores."""
        return self.path.name

    @property
    def profile(self) -> Path:
        """Where a trace of the first steps goes."""
        return self.path / "profile"

    def figures(self, member: int | None = None) -> Path:
        """Where figures go."""
        return part_of(self.path / "figures", member)

    def events(self, member: int | None = None) -> Path:
        """Where TensorBoard's files go; the tags of members are the same."""
        return part_of(self.path / "tensorboard", member)

    def checkpoints(self, *, keep: int = 3, alone: bool = False) -> Checkpoints:
        """The run's checkpoints, see `Checkpoints`.

        Raises:
          ValueError: `alone`, to read them, and there is no such folder.
        """
        folder = self.path / "checkpoints"
        if alone and not folder.is_dir():
            raise ValueError(
                f"got workdir={self} without checkpoints, expected a run; train first with "
                "launch/train.py"
            )
        saved = None if self.place.local else self.place.publish
        return Checkpoints(folder, keep=keep, alone=alone, saved=saved)

    def writer(self, step: int, *, tensorboard: Sequence[Followed] = (), **more: Any) -> Writer:
        """Of the rows from `step` on; event files of the runs given; `more` as `Writer` takes."""
        events = [Events(self.events(run.member), step, run) for run in tensorboard]
        return Writer(self.path / "metrics.jsonl", step=step, events=events, **more)

    def show(self, step: int, figures: Mapping[str, Path], member: int | None) -> None:
        """Puts figures that are PNG files into the run's TensorBoard, if it has one."""
        paths = [path for path in figures.values() if path.suffix == ".png"]
        if self.events().is_dir() and paths:
            pictures = {f"figures/{path.stem}": path.read_bytes() for path in paths}
            write_pictures(self.events(member), step, pictures)

    def metrics(self, member: int | None = None) -> list[dict[str, Any]]:
        """The rows of metrics of the run, or of one member of a population."""
        return [row for row in self.all_metrics() if row.get("member") == member]

    def all_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics of the run, or of all members of a population."""
        return read_rows(self.path / "metrics.jsonl")

    def scores(self) -> list[dict[str, Any]]:
        """The rows of scores.json, none if there is no file.

        Raises:
          ValueError: it is damaged, or another version of the library wrote it.
        """
        return read(self.path / "scores.json")

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Holds scores.json for the length of the block, so that no process loses another's."""
        with patient(lambda: self.place.claimed(".scores.lock", f"{self}/scores.json")):
            self.place.refresh("scores.json")
            yield

    def write_scores(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces scores.json; NaN becomes null, and each row says its format."""
        write_json(self.path / "scores.json", [{**row, "format": FORMAT} for row in rows], indent=1)

    def note(self, step: int, result: str, member: int | None) -> None:
        """Remembers that a member's figures are "drawn" at `step`, or that it "diverged"."""
        self.place.refresh("results.json")
        noted = self._noted(step)
        noted[result] = sorted({*noted.get(result, ()), member}, key=str)
        write_json(self.path / "results.json", {"step": step} | noted)
        self.place.publish()

    def _noted(self, step: int) -> dict[str, Any]:
        """What results.json says of `step`; damaged or of another step, it says nothing."""
        try:
            noted = mapping(self.path / "results.json")
        except (OSError, ValueError):
            return {}
        whole = noted.pop("step", None) == step
        return noted if whole and all(map(are_members, noted.values())) else {}

    def has_config(self) -> bool:
        """Whether a run says here what it is; a folder of checkpoints alone is loaded too."""
        return (self.path / "config.json").exists()

    def config(self) -> ConfigDict:
        """The config of the run that is here.

        Raises:
          ValueError: it is damaged, or another version of the library wrote it.
        """
        path = self.path / "config.json"
        try:
            saved = mapping(path)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"got {error} reading {path}, expected the config of a run; restore it, or start "
                "again with --overwrite"
            ) from error
        return config_of(readable(saved, str(path)))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the folder for the length of the block, so that one process trains in it.

        Raises:
          ValueError: it cannot be made, or another process trains in it.
          StorageError: there is no room, or no permission to write in it.
        """
        new = self.place.local and not os.path.exists(self.path)  # also where it cannot be asked
        self.place.make()
        try:
            with self.place.claimed(LOCK, f"workdir={self}"):
                self.place.refresh()
                yield
        except BaseException:
            with contextlib.suppress(OSError):  # not empty: something was written
                if new:
                    self.path.rmdir()
            raise

    def prepare(
        self,
        config: ConfigDict,
        members: Sequence[Mapping[str, Any]] = (),
        *,
        overwrite: bool = False,
        resume_results: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Makes the folder ready to train in, or to go on training in; call it while `writing`.

        Args:
          overwrite: delete the run that is there.
          resume_results: accept a finished run that lacks its results.
          check: called before anything is deleted or written, if there is something to train.

        Raises:
          ValueError: it belongs to something else, holds a run of another config, or a finished
            run.
        """
        found = deletable(self.path) if overwrite else present(self.path)
        check_kinds(found, links=False)
        resumed = bool(found) and not overwrite
        if not (resumed and self._check_resumable(config, members, resume_results)):
            check()
        if overwrite:
            self.clear()
        self._clean()
        write_json(self.path / "config.json", {"format": FORMAT, **config.to_dict()}, indent=2)

    def clear(self) -> None:
        """Deletes the run that is there, or raises ValueError; call it while `writing`."""
        found = deletable(self.path)
        with storing(self.path):
            for item in found:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        self.place.publish()

    def _clean(self) -> None:
        """Removes what killed processes left half written.

        Scores and figures may be written by others meanwhile: what is young stays.
        """
        self.place.clean()
        with storing(self.path):
            for item in self.path.glob("checkpoints/*.orbax-checkpoint-tmp*"):
                shutil.rmtree(item)
            remove_left((*self.path.glob(".*.tmp"), *self.path.glob("figures/**/.*.tmp")))

    def check_same(self, saved: Mapping[str, Any]) -> None:
        """That a checkpoint is of the run that is here.

        Raises:
          ValueError: config.json and the checkpoint's config describe different runs.
        """
        changed = differences(config_of(saved["config"]), self.config())
        if changed:
            raise ValueError(
                f"got a checkpoint of another run in {self} ({'; '.join(changed)}), expected "
                "those of the run in config.json; remove what was copied there"
            )

    def _check_resumable(
        self, config: ConfigDict, members: Sequence[Mapping[str, Any]], resume_results: bool
    ) -> bool:
        """Whether the run that is here is finished, and lacks its results."""
        changed = differences(self.config(), config)
        if changed:
            raise ValueError(
                f"got a config that differs from the run in {self}:\n  "
                + "\n  ".join(changed)
                + "\nexpected the same run to go on; restore these keys, choose another "
                "--workdir, or start again with --overwrite"
            )
        step = self._reached(config, members)
        if step is not None and not (resume_results and not self.has_results(step, len(members))):
            raise ValueError(
                f"got workdir={self} with a run finished at step {config.steps}, expected "
                "one to go on; raise --config.steps to train longer, or start again with "
                "--overwrite"
            )
        return step is not None

    def finished(self, config: ConfigDict, members: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Whether there is a checkpoint of this run's last step, and it is whole.

        Raises:
          ValueError: it is the last step of another config or of other members.
        """
        return self._reached(config, members) is not None

    def has_results(self, step: int, members: int = 0) -> bool:
        """Whether a run, or each of its `members`, has scores and figures of `step`.

        A member that diverged has none to come. Members are scored; a run alone is also drawn.
        """
        if members:
            return self.scored(step, members)
        rows = any(row["step"] == step and row["member"] is None for row in self.scores())
        drawn = None in self._noted(step).get("drawn", ())
        return rows and drawn and (self.figures() / "report.html").exists()

    def scored(self, step: int, members: int) -> bool:
        """Whether every member of a population is in scores.json at `step`, or diverged."""
        found = {row["member"] for row in self.scores() if row["step"] == step}
        return found | self.diverged(step) >= set(range(members))

    def diverged(self, step: int) -> set[int]:
        """The members that had diverged at `step`, so that there was nothing to score."""
        return set(self._noted(step).get("diverged", ()))

    def _reached(self, config: ConfigDict, members: Sequence[Mapping[str, Any]]) -> int | None:
        """The step of the newest checkpoint that is whole, if the run ends there; else None."""
        if not (self.path / "checkpoints").is_dir():
            return None
        checkpoints = self.checkpoints(alone=True)
        if max(checkpoints.steps(), default=0) < config.steps:
            return None
        step = next(checkpoints.good_steps(), 0)
        if step < config.steps:
            return None
        saved = checkpoints.meta(step)
        changed = differences(config_of(saved["config"]), config)
        if saved["members"] != json.loads(json.dumps([dict(member) for member in members])):
            changed.append(f"members: {saved['members']} -> {list(members)}")
        if changed:
            raise ValueError(
                f"got a config that differs from the finished run in {self}:\n  "
                + "\n  ".join(changed)
                + "\nchoose another --workdir, or start again with --overwrite"
            )
        return step
