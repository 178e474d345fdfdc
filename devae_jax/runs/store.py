"""A run's folder in a store: gs://bucket/run, or what else etils.epath opens.

A store takes a file whole or not at all, and knows neither renames nor appends. So a run works in
a copy on this machine. What is in the store is brought there when it is first asked for, and what
has changed is put back by `publish`, in an order in which a run can go on from the store wherever
that ends.
"""

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from etils import epath

from devae_jax.files import (
    BEAT,
    DEAD,
    LockedError,
    StorageError,
    alive,
    in_use,
    is_here,
    owner_in,
    storage_error,
    this_process,
)

WHOLE = "_CHECKPOINT_METADATA"  # the file of a checkpoint that is put last
FIRST, LAST = ("config.json", "metrics.jsonl"), ("checkpoints", "results.json")


class Store:
    """A folder of an object store; its copy here goes when this object does.

    Files and folders whose names begin with a dot are no part of it.
    """

    local = False

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        self._root = opened(self.address)
        self._folder: tempfile.TemporaryDirectory | None = None
        self._known: dict[str, tuple[int, int]] = {}  # what is in the store, as it is here
        self._half: list[Any] = []  # files in the store of checkpoints that are not whole there
        self._claims: list[Any] = []
        self._made: set[Any] = set()  # folders, where a store has such

    @property
    def here(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="devae_jax_")
            self._copy().mkdir()
            with self._asking():
                _forget(self._root)
                found = {name: file for file, name in _files(self._root)}
                half = {name for name in found if _half(name, found)}
                self._half = [found[name] for name in half]
                for name in found.keys() - half:
                    self._bring(found[name], name)
        return self._copy()

    def _copy(self) -> Path:
        return Path(self._folder.name if self._folder else "", self._root.name)

    def _bring(self, file: Any, name: str) -> None:
        try:
            content = file.read_bytes()
        except FileNotFoundError:  # there is none, or another process has just removed it
            return
        copy = self._copy() / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        self._known[name] = _seen(copy)

    def make(self) -> None:
        pass

    def refresh(self, name: str = "") -> None:
        if not name:  # all of it, when it is next asked for
            self._folder, self._known = None, {}
        elif self._folder is not None:
            with self._asking():
                _forget(self._root)
                self._bring(self._root / name, name)

    def publish(self) -> None:
        """What is new first, checkpoints after the rows that they go on from, what is gone last.

        Raises:
          LockedError: another process has taken over, as this one was silent for too long.
          StorageError: the store cannot be reached, or refuses.
        """
        files = {file.relative_to(self.here).as_posix(): file for file in _written(self.here)}
        seen = {name: _seen(file) for name, file in files.items()}
        with self._asking():
            for claim in self._claims:
                _forget(claim)
                if not claim.exists():
                    raise LockedError(in_use({}, self.address))
            for name in sorted(seen, key=_turn):
                if self._known.get(name) != seen[name]:
                    self._put(name, files[name].read_bytes())
                    self._known[name] = seen[name]
            for name in sorted(self._known.keys() - seen.keys(), key=_turn, reverse=True):
                (self._root / name).unlink(missing_ok=True)
                del self._known[name]

    def clean(self) -> None:
        """Removes what killed processes left half written."""
        with self._asking():
            for file in self._half:
                file.unlink(missing_ok=True)

    def _put(self, name: str, content: bytes) -> None:
        file = self._root / name
        if file.parent not in self._made:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(file.parent)
        file.write_bytes(content)

    def public(self, path: Path) -> Any:
        return self._root / path.relative_to(self.here).as_posix()

    @contextlib.contextmanager
    def claimed(self, lock: str, what: str) -> Iterator[None]:
        """Each process writes a claim of its own, then looks whether it is alone.

        Where a listing shows all that was written before, of two processes one at least sees
        the other, and gives way: never do both go on. A claim is written anew every half minute;
        that of a dead process is removed, as in `files.claimed`.
        """
        mine = this_process()
        claim, content = self._root / lock / f"{mine['id']}.json", json.dumps(mine)
        with self._asking():
            self._put(f"{lock}/{claim.name}", content.encode())
            others = [other for other in _claims(claim.parent) if other.name != claim.name]
            rivals = [owner for other in others for owner in _rival(other, claim)]
            if rivals:
                claim.unlink()
                raise LockedError(in_use(rivals[0], what))
        self._claims.append(claim)
        stopped = threading.Event()
        beat = threading.Thread(target=_beat, args=(claim, content, stopped), daemon=True)
        beat.start()
        try:
            try:
                yield
            except BaseException:
                with contextlib.suppress(StorageError, LockedError):  # the first error is told
                    self.publish()
                raise
            self.publish()
        finally:
            stopped.set()
            beat.join()
            self._claims.remove(claim)
            with contextlib.suppress(Exception):  # whatever a store raises
                claim.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Turns what the store raises, which is of many kinds, into one line."""
        try:
            yield
        except (LockedError, StorageError):
            raise
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
            raise storage_error(self.address, OSError(reason)) from error


def opened(address: str) -> Any:
    """An address as a path of epath.

    Raises:
      ValueError: no backend knows it, or its package is not installed.
    """
    try:
        root = epath.Path(address)
        root.exists()
        return root
    except (KeyError, ImportError) as error:
        raise ValueError(
            f"got workdir={address}, which nothing here opens ({error}), expected a folder, or "
            "gs:// with gcsfs installed, s3:// with s3fs, az:// with adlfs"
        ) from error
    except Exception as error:  # whatever a store raises
        reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise storage_error(address, OSError(reason)) from error


def _files(folder: Any, above: str = "") -> Iterator[tuple[Any, str]]:
    """All files below a folder of a store, and their names; none if there is no such folder."""
    try:
        items = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in items:
        if item.name.startswith(".") or not item.name:
            continue
        if item.is_dir():
            yield from _files(item, f"{above}{item.name}/")
        else:
            yield item, f"{above}{item.name}"


def _written(folder: Path) -> Iterator[Path]:
    """All files below a folder here, but for what is half written."""
    for above, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f[0] != "." and ".orbax-checkpoint-tmp" not in f]
        files = (Path(above, name) for name in names if name[0] != ".")
        yield from (file for file in files if file.is_file())


def _seen(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def _turn(name: str) -> tuple[int, str, bool, str]:
    """When a file is put into the store."""
    top, _, below = name.partition("/")
    order = [*FIRST, "", *LAST]
    place = order.index(top if top in order else "")
    return place, below.partition("/")[0], name.endswith(WHOLE), name


def _half(name: str, names: Container[str]) -> bool:
    """Whether a file is of a checkpoint that is not whole among these."""
    top, _, below = name.partition("/")
    step, inside, _ = below.partition("/")
    checkpoint = top == "checkpoints" and inside and step.isdigit()
    return bool(checkpoint) and f"{top}/{step}/{WHOLE}" not in names


def _forget(root: Any) -> None:
    """Makes fsspec, which keeps listings, look again."""
    with contextlib.suppress(ImportError):
        if str(root).startswith(("gs://", "s3://", "az://", "hf://")):
            epath.backend.fsspec_backend.fs(str(root)).invalidate_cache()


def _claims(folder: Any) -> list[Any]:
    _forget(folder)
    return list(folder.iterdir())


def _rival(other: Any, claim: Any) -> Iterator[dict[str, Any]]:
    """Who made another claim, unless that is dead; by the clock of the store."""
    try:
        owner, age = owner_in(other.read_text()), claim.stat().mtime - other.stat().mtime
    except FileNotFoundError:
        return
    if (not alive(owner)) if is_here(owner) else age > DEAD:
        other.unlink(missing_ok=True)
    else:
        yield owner


def _beat(claim: Any, content: str, stopped: threading.Event) -> None:
    last = time.time()
    while not stopped.wait(BEAT):
        with contextlib.suppress(Exception):  # a store that does not answer now may do so later
            if time.time() - last > DEAD:  # asleep so long that others count this process as dead
                claim.unlink(missing_ok=True)
            elif claim.exists():  # else another has removed it and taken over
                claim.write_text(content)
                last = time.time()
