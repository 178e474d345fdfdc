"""What a run's folder may hold, and whether that is what it should be."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from devae_jax.files import DEAD, parsed, write_bytes

CONTENTS = (
    "config.json",
    "metrics.jsonl",
    "checkpoints",
    "tensorboard",
    "scores.json",
    "figures",
    "profile",
    "results.json",
    "wandb",
    "mlruns",
)
FOLDERS = ("checkpoints", "tensorboard", "figures", "profile", "wandb", "mlruns")
LOCK = ".lock"
BESIDE = (LOCK, "logs")  # what others write there, also before the run; launch/slurm.py
SECTIONS = ("data", "model", "objective")  # of every config of this library, of any version


def present(path: Path) -> list[Path]:
    """The files and folders of the run that is there, none in an empty folder.

    Raises:
      ValueError: there is something else.
    """
    found = [item.name for item in path.iterdir() if item.name not in BESIDE]
    if found and "config.json" not in found:
        raise ValueError(
            f"got workdir={path} with {', '.join(sorted(found)[:5])} but no config.json, "
            "expected an empty folder or a run of this library; choose another --workdir"
        )
    return [path / name for name in CONTENTS if name in found]


def part_of(folder: Path, member: int | None) -> Path:
    """The folder of a member of a population in one of the run's; that itself for a run alone."""
    return folder if member is None else folder / f"member_{member}"


def deletable(path: Path) -> list[Path]:
    """What `--overwrite` deletes: the files and folders of the run that is there.

    A config.json that is damaged may be a run's; one that can be read must be.

    Raises:
      ValueError: there is something else, also another program's config.json, or a link.
    """
    found = present(path)
    check_kinds(found, links=True)
    try:
        config = parsed((path / "config.json").read_text()) if found else None
    except (OSError, ValueError):
        return found
    whole = isinstance(config, dict) and all(isinstance(config.get(s), dict) for s in SECTIONS)
    if found and not whole:
        raise ValueError(
            f"got workdir={path} whose config.json lacks {', '.join(SECTIONS)}, expected a run of "
            "this library to delete; choose another --workdir"
        )
    return found


def remove_left(items: Iterable[Path]) -> None:
    """Removes files that killed processes left half written; the young may be being written."""
    for item in items:
        with contextlib.suppress(FileNotFoundError):  # its writer has just put it into its place
            if time.time() - item.stat().st_mtime > DEAD:
                item.unlink()


def mapping(file: Path) -> dict[str, Any]:
    """What stands in a JSON file that should hold a mapping.

    Raises:
      OSError: it cannot be read.
      ValueError: it holds something else; says what, in a few words.
    """
    found = parsed(file.read_text())
    if not isinstance(found, dict):
        raise ValueError("something else than a mapping")
    return found


def set_aside(file: Path) -> Path:
    """Copies a file that is damaged to a free name beside it, before another takes its place."""
    names = (f"{file.stem}.damaged-{i}{file.suffix}" for i in itertools.count(1))
    free = next(place for name in names if not (place := file.with_name(name)).exists())
    write_bytes(free, file.read_bytes())
    return free


def held(path: Path) -> str:
    """What the lock of a run's folder says to this process, "" if there is none."""
    # Listing makes a network disk look again.
    there = path.is_dir() and LOCK in os.listdir(path)
    return (path / LOCK).read_text(errors="replace") if there else ""


def check_kinds(items: Sequence[Path], *, links: bool) -> None:
    """That each is the file or folder that it should be, before anything is deleted.

    Args:
      links: refuse symbolic links too.
    """
    for item in items:
        if links and item.is_symlink():
            raise ValueError(
                f"got {item}, a link to {item.resolve()}, expected a file or folder of the "
                "run to delete; remove the link yourself"
            )
        if item.is_dir() != (item.name in FOLDERS):
            kind = "folder" if item.name in FOLDERS else "file"
            raise ValueError(f"got {item}, expected a {kind}; move it away")
