"""A run's folder: who may write into it, and whether its run is finished.

W/config.json  W/metrics.jsonl  W/checkpoints/  W/tensorboard/  W/scores.json  W/figures/
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from devae_jax import build
from devae_jax.train.checkpoint import Checkpoints
from devae_jax.train.writer import write_text

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
    if _last_checkpoint(path)[1] >= config.steps:
        raise ValueError(
            f"got workdir={path} with a run finished at step {config.steps}, expected one to go "
            "on; raise --config.steps to train longer, or start again with --overwrite"
        )


def finished(
    config: ConfigDict, workdir: str | Path, members: Sequence[Mapping[str, Any]] = ()
) -> bool:
    """Whether `workdir` holds a checkpoint of this run's last step.

    Raises:
      ValueError: it is the last step of another config or of other members.
    """
    checkpoints, last = _last_checkpoint(Path(workdir))
    if checkpoints is None or last < config.steps:
        return False
    saved = checkpoints.meta(last)
    changed = build.differences(ConfigDict(saved["config"]), config)
    if saved["members"] != json.loads(json.dumps([dict(member) for member in members])):
        changed.append(f"members: {saved['members']} -> {list(members)}")
    if changed:
        raise ValueError(
            f"got a config that differs from the finished run in {workdir}:\n  "
            + "\n  ".join(changed)
            + "\nchoose another --workdir, or start again with --overwrite"
        )
    return True


def _last_checkpoint(path: Path) -> tuple[Checkpoints | None, int]:
    """The checkpoints of a run, None before the first, and their newest step, else 0."""
    folder = path / "checkpoints"
    checkpoints = Checkpoints(folder, alone=True) if folder.is_dir() else None
    return checkpoints, max(checkpoints.steps(), default=0) if checkpoints else 0


def read_config(path: Path) -> ConfigDict:
    """config.json of a run."""
    try:
        return ConfigDict(json.loads((path / "config.json").read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"got {error} reading {path / 'config.json'}, expected the config of a run; restore "
            "it, or start again with --overwrite"
        ) from error
