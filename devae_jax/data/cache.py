"""Tables on disk: written atomically, by one process at a time, checked when written and read.

A file is an ordinary .npy with the SHA-256 of the array's bytes appended, so one
rename publishes both; `np.load` ignores what follows the array.
"""

import contextlib
import hashlib
import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devae_jax.data.foreign import UNREADABLE, load_numpy
from devae_jax.files import LockedError, StorageError, claimed, storing

DIGEST = hashlib.sha256().digest_size
POLL = 0.5  # seconds between two looks whether another process has ended


class DamagedError(ValueError):
    """A file that is not what was written."""


class Layout(NamedTuple):
    """What a table must be: its type, its shape (None: any number), its sha256 where known."""

    dtype: npt.DTypeLike
    shape: tuple[int | None, ...]
    sha256: str = ""


def folder(data_dir: str | os.PathLike = "") -> Path:
    """`data_dir`, or devae_jax in the user's cache ($XDG_CACHE_HOME, else ~/.cache)."""
    if data_dir:
        return Path(data_dir).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "devae_jax"


def sha256(array: np.ndarray) -> str:
    """Hash of the array's bytes in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


@contextlib.contextmanager
def created(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[np.memmap]:
    """A table on disk to be filled; published when the block ends, dropped if it fails.

    Raises:
      LockedError: another process writes it.
      StorageError: there is no room, no permission or no folder.
    """
    with _held(path), _filled(path, shape, dtype) as array:
        yield array


def mapped(path: Path, layout: Layout) -> tuple[np.ndarray, str]:
    """The table, memory-mapped, and the sha256 that was written with it, its bytes unread.

    Raises:
      DamagedError: its header or its size are not what was written.
    """
    try:
        array = load_numpy(path, mapped=True)
        with path.open("rb") as file:
            file.seek(-DIGEST, os.SEEK_END)
            size, written = file.tell() + DIGEST, file.read().hex()
    except UNREADABLE as error:
        raise DamagedError(f"got unreadable {path} ({error}), expected a table") from error
    shape = layout.shape
    fits = (
        isinstance(array, np.memmap)
        and array.ndim == len(shape)
        and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    )
    if not fits or array.dtype != layout.dtype or not array.flags.c_contiguous:
        raise DamagedError(
            f"got {array.dtype.str} {list(array.shape)} in {path}, expected "
            f"{np.dtype(layout.dtype).str} {list(shape)}"
        )
    if size != array.offset + array.nbytes + DIGEST:
        raise DamagedError(f"got {path} of {size:,} bytes, expected another size")
    return array, written


def read(path: Path, layout: Layout) -> tuple[np.ndarray, str]:
    """The table, memory-mapped, and its sha256.

    Raises:
      DamagedError: its header, its size or its bytes are not what was written.
    """
    array, written = mapped(path, layout)
    digest = sha256(array)
    if digest != (layout.sha256 or written):
        raise DamagedError(f"got {path} with sha256 {digest}, expected {layout.sha256 or written}")
    return array, digest


def table(path: Path, build: Callable[[], np.ndarray], layout: Layout) -> tuple[np.ndarray, str]:
    """The table at `path` and its sha256, built first if it is missing or damaged.

    While another process builds it, this one says who does and waits.
    """
    tidy(path)
    found = _kept(path, layout)
    if found is not None:
        return found
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_waited_for(path))
        except StorageError as error:
            return _not_kept(path, build(), error)
        found = _kept(path, layout)  # the process that was waited for has made it
        if found is not None:
            return found
        array = build()
        if layout.sha256 not in ("", digest := sha256(array)):
            raise DamagedError(
                f"got a {path.stem} of sha256 {digest} on making it, expected {layout.sha256}; "
                "report this if it persists"
            )
        try:
            with _filled(path, array.shape, array.dtype) as rows:
                rows[...] = array
            return read(path, layout)
        except StorageError as error:
            return _not_kept(path, array, error)


def tidy(path: Path) -> None:
    """Removes what killed writers of this table left, unless a process is writing it."""
    if path.parent.is_dir() and any(path.parent.glob(f".{path.name}.*.tmp")):
        with contextlib.suppress(LockedError, OSError), _held(path):
            pass


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds the table's lock; what killed writers left is removed."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with claimed(path.with_name(f".{path.name}.lock"), str(path)):
        with storing(path):
            for item in path.parent.glob(f".{path.name}.*.tmp"):
                item.unlink()
        yield


@contextlib.contextmanager
def _waited_for(path: Path) -> Iterator[None]:
    """As `_held`, once no other process holds it."""
    with contextlib.ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(_held(path))
                break
            except LockedError as error:
                if not told:
                    print(f"waiting for the data: {error}", file=sys.stderr, flush=True)
                told = True
                time.sleep(POLL)
        yield


@contextlib.contextmanager
def _filled(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[np.memmap]:
    """`created`, for who holds the lock."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with storing(path):
            array = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
            _reserve(temporary, array.offset + array.nbytes)
        yield array
        with storing(path):
            array.flush()
            with temporary.open("ab") as file:
                file.write(bytes.fromhex(sha256(array)))
                os.fsync(file.fileno())
            try:
                read(temporary, Layout(dtype, shape))
            except DamagedError as error:
                raise OSError("other bytes than were written, on reading them back,") from error
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # moved into its place, or its folder vanished
            temporary.unlink()


def _reserve(path: Path, size: int) -> None:
    """Room on the disk for a mapped file: without, a full one ends the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _kept(path: Path, layout: Layout) -> tuple[np.ndarray, str] | None:
    """The table on disk; None, with a warning if it is damaged."""
    if path.exists():
        try:
            return read(path, layout)
        except DamagedError as error:
            warnings.warn(f"{error}; building it again", stacklevel=3)
    return None


def _not_kept(path: Path, array: np.ndarray, error: OSError) -> tuple[np.ndarray, str]:
    warnings.warn(f"{error}; {path.name} is not kept for next time", stacklevel=3)
    return array, sha256(array)
