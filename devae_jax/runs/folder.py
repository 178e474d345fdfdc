"""A run's folder: what lies where, who may write into it, and whether its run is finished.

W/config.json  W/metrics.jsonl  W/checkpoints/  W/tensorboard/  W/scores.json  W/figures/
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from devae_jax.files import read_rows, write_json
from devae_jax.program import keys
from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.writer import Writer

CONTENTS = (
    "config.json",
    "metrics.jsonl",
    "checkpoints",
    "tensorboard",
    "scores.json",
    "figures",
    "profile",
)


class Folder:
    """The folder of one run or population."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path).absolute()

    @property
    def name(self) -> str:
        """Of the run, in rows of scores."""
        return self.path.name

    @property
    def profile(self) -> Path:
        """Where a trace of the first steps goes."""
        return self.path / "profile"

    def figures(self, member: int | None = None) -> Path:
        """Where figures go; a member of a population has a folder of its own."""
        folder = self.path / "figures"
        return folder if member is None else folder / f"member_{member}"

    def checkpoints(self, *, keep: int = 3, alone: bool = False) -> Checkpoints:
        """The run's checkpoints, see `Checkpoints`.

        Raises:
          ValueError: `alone`, to read them, and there is no such folder.
        """
        folder = self.path / "checkpoints"
        if alone and not folder.is_dir():
            raise ValueError(
                f"got workdir={self.path} without checkpoints, expected a run; train first with "
                "launch/train.py"
            )
        return Checkpoints(folder, keep=keep, alone=alone)

    def writer(
        self, step: int, members: Sequence[Mapping[str, Any]], *, tensorboard: bool
    ) -> Writer:
        """Of the rows of metrics from `step` on."""
        events = self.path / "tensorboard" if tensorboard else None
        return Writer(self.path / "metrics.jsonl", events, step=step, members=members)

    def metrics(self, member: int | None = None) -> list[dict[str, Any]]:
        """The rows of metrics of the run, or of one member of a population."""
        rows = read_rows(self.path / "metrics.jsonl")
        return [row for row in rows if row.get("member") == member]

    def scores(self) -> list[dict[str, Any]]:
        """The rows of scores.json, none if there is no file.

        Raises:
          ValueError: it is damaged.
        """
        path = self.path / "scores.json"
        try:
            return json.loads(path.read_text()) if path.exists() else []
        except json.JSONDecodeError as error:
            raise ValueError(
                f"got {error} reading {path}, expected a list of scores; move the file away"
            ) from error

    def write_scores(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces scores.json; NaN becomes null."""
        write_json(self.path / "scores.json", list(rows), indent=1)

    def has_config(self) -> bool:
        """Whether a run says here what it is; a folder of checkpoints alone is loaded too."""
        return (self.path / "config.json").exists()

    def config(self) -> ConfigDict:
        """The config of the run that is here."""
        path = self.path / "config.json"
        try:
            return ConfigDict(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"got {error} reading {path}, expected the config of a run; restore it, or start "
                "again with --overwrite"
            ) from error

    def prepare(self, config: ConfigDict, *, overwrite: bool = False) -> None:
        """Makes the folder ready to train in, or to go on training in.

        Raises:
          ValueError: it is not writable, belongs to something else, holds a run of another
            config, or a finished run (`overwrite` deletes that first).
        """
        path = self.path
        if path.exists() and not path.is_dir():
            raise ValueError(f"got workdir={path}, expected a folder; choose another --workdir")
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".write_probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"got workdir={path}, expected a folder that can be written ({error}); choose "
                "another"
            ) from error
        found = [item.name for item in path.iterdir()]
        if found and "config.json" not in found:
            raise ValueError(
                f"got workdir={path} with {', '.join(sorted(found)[:5])} but no config.json, "
                "expected an empty folder or a run of this library; choose another --workdir"
            )
        if overwrite:
            for name in set(found) & set(CONTENTS):
                item = path / name
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        elif found:
            self._check_resumable(config)
        write_json(path / "config.json", config.to_dict(), indent=2)

    def check_same(self, saved: Mapping[str, Any]) -> None:
        """That a checkpoint is of the run that is here.

        Raises:
          ValueError: config.json and the checkpoint's config describe different runs.
        """
        changed = keys.differences(ConfigDict(saved["config"]), self.config())
        if changed:
            raise ValueError(
                f"got a checkpoint of another run in {self.path} ({'; '.join(changed)}), expected "
                "those of the run in config.json; remove what was copied there"
            )

    def _check_resumable(self, config: ConfigDict) -> None:
        changed = keys.differences(self.config(), config)
        if changed:
            raise ValueError(
                f"got a config that differs from the run in {self.path}:\n  "
                + "\n  ".join(changed)
                + "\nexpected the same run to go on; restore these keys, choose another "
                "--workdir, or start again with --overwrite"
            )
        if self._last_checkpoint()[1] >= config.steps:
            raise ValueError(
                f"got workdir={self.path} with a run finished at step {config.steps}, expected "
                "one to go on; raise --config.steps to train longer, or start again with "
                "--overwrite"
            )

    def finished(self, config: ConfigDict, members: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Whether there is a checkpoint of this run's last step.

        Raises:
          ValueError: it is the last step of another config or of other members.
        """
        checkpoints, last = self._last_checkpoint()
        if checkpoints is None or last < config.steps:
            return False
        saved = checkpoints.meta(last)
        changed = keys.differences(ConfigDict(saved["config"]), config)
        if saved["members"] != json.loads(json.dumps([dict(member) for member in members])):
            changed.append(f"members: {saved['members']} -> {list(members)}")
        if changed:
            raise ValueError(
                f"got a config that differs from the finished run in {self.path}:\n  "
                + "\n  ".join(changed)
                + "\nchoose another --workdir, or start again with --overwrite"
            )
        return True

    def scored(self, step: int, members: int) -> bool:
        """Whether scores.json has every member of a population at `step`."""
        found = {row["member"] for row in self.scores() if row["step"] == step}
        return found >= set(range(members))

    def _last_checkpoint(self) -> tuple[Checkpoints | None, int]:
        """The checkpoints of the run, None before the first, and their newest step, else 0."""
        if not (self.path / "checkpoints").is_dir():
            return None, 0
        checkpoints = self.checkpoints(alone=True)
        return checkpoints, max(checkpoints.steps(), default=0)
