"""Where a run's folder lies: on a disk, or in a store, which `runs/store.py` knows."""

import contextlib
import fnmatch
import glob
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from devae_jax.files import LockedError, claimed
from devae_jax.runs.store import Store, opened

PATIENCE = 60.0  # seconds to wait for a lock that is held for moments


@contextlib.contextmanager
def patient(
    hold: Callable[[], contextlib.AbstractContextManager[None]], seconds: float = PATIENCE
) -> Iterator[None]:
    """Holds a lock that others hold for moments, after waiting for them.

    Raises:
      LockedError: one has held it for all of the time.
    """
    with contextlib.ExitStack() as stack:
        end = time.monotonic() + seconds
        while True:
            try:
                stack.enter_context(hold())
                break
            except LockedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield


class Place(Protocol):
    """A folder of files.

    address: as the user gave it
    local: whether other processes see what is written in `here`
    here: the folder on this machine
    """

    address: str
    local: bool

    @property
    def here(self) -> Path: ...

    def make(self) -> None:
        """Makes the folder. Raises ValueError if that cannot be."""

    def claimed(self, lock: str, what: str) -> contextlib.AbstractContextManager[None]:
        """Holds `lock` for the length of the block, so that one process writes `what`."""

    def refresh(self, name: str = "") -> None:
        """Has one file, or all, looked at again: others may have written."""

    def clean(self) -> None:
        """Removes what a place that is no disk was left with; call it while its lock is held."""

    def publish(self) -> None:
        """Puts back what has changed here."""

    def public(self, path: Path) -> Any:
        """Where others find a file that lies in `here`."""


class Disk:
    """A folder of a file system."""

    local = True

    def __init__(self, path: str | os.PathLike):
        if not str(path):
            raise ValueError(
                "got an empty workdir, expected a folder; name one: a shell variable may be unset"
            )
        self.here = Path(path).absolute()
        self.address = str(self.here)

    def make(self) -> None:
        path = self.here
        try:
            if path.exists() and not path.is_dir():
                raise ValueError(f"got workdir={path}, expected a folder; choose another --workdir")
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"got workdir={self.address[:200]}, expected a folder that can be written "
                f"({error.strerror or error}); choose another"
            ) from error

    def claimed(self, lock: str, what: str) -> contextlib.AbstractContextManager[None]:
        return claimed(self.here / lock, what)

    def refresh(self, name: str = "") -> None:
        pass

    def clean(self) -> None:
        pass

    def publish(self) -> None:
        pass

    def public(self, path: Path) -> Any:
        return path


def place_of(path: str | os.PathLike) -> Place:
    """The place of a run's folder.

    Raises:
      ValueError: an address that nothing here opens.
    """
    return Store(str(path)) if "://" in str(path) else Disk(path)


def on_disk(path: str | os.PathLike) -> Path:
    """A folder that many processes write into.

    Raises:
      ValueError: it lies in a store.
    """
    if "://" in str(path):
        raise ValueError(
            f"got workdir={path}, expected a folder of a file system: its processes share locks "
            "and files that stores do not have; a single run may lie there"
        )
    return Disk(path).here


def matching(pattern: str, file: str) -> list[str]:
    """The folders with a `file` that a pattern names, on a disk or in a store."""
    scheme, mark, rest = pattern.partition("://")
    if not mark:
        return sorted(str(Path(found).parent) for found in glob.glob(f"{pattern}/{file}"))
    first, *parts = rest.rstrip("/").split("/")
    places = [opened(f"{scheme}://{first}")]
    for part in parts:
        if any(sign in part for sign in "*?["):
            found = [item for place in places if place.is_dir() for item in place.iterdir()]
            places = [item for item in found if fnmatch.fnmatchcase(item.name, part)]
        else:
            places = [place / part for place in places]
    return sorted(str(place) for place in places if (place / file).exists())
