"""Tables on disk: written atomically, checked when read, rebuilt when damaged.

A file is an ordinary .npy with the SHA-256 of the array's bytes appended, so one
rename publishes both; `np.load` ignores what follows the array.
"""

import contextlib
import hashlib
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

DIGEST = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """A file that is not what was written."""


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
    """A table on disk to be filled; published when the block ends, dropped if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        array = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        yield array
        array.flush()
        with temporary.open("ab") as file:
            file.write(bytes.fromhex(sha256(array)))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, array: np.ndarray) -> str:
    """Writes the table, or nothing at all, and gives its sha256."""
    with created(path, array.shape, array.dtype) as table:
        table[...] = array
    return _digest(path)


def read(path: Path) -> tuple[np.ndarray, str]:
    """The table, memory-mapped, and its sha256. Raises DamagedError."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        written = _digest(path)
    except (ValueError, EOFError, OSError) as error:
        raise DamagedError(f"got unreadable {path} ({error}), expected a table") from error
    digest = sha256(array)
    if digest != written:
        raise DamagedError(f"got {path} with sha256 {digest}, expected {written}")
    return array, digest


def table(path: Path, build: Callable[[], np.ndarray]) -> tuple[np.ndarray, str]:
    """The table at `path` and its sha256, built first if it is missing or damaged."""
    if path.exists():
        try:
            return read(path)
        except DamagedError as error:
            warnings.warn(f"{error}; building it again", stacklevel=2)
    array = build()
    try:
        return array, write(path, array)
    except OSError as error:
        warnings.warn(f"got {error}, so {path.name} is not kept for next time", stacklevel=2)
        return array, sha256(array)


def _digest(path: Path) -> str:
    """The sha256 that ends the file."""
    with path.open("rb") as file:
        file.seek(-DIGEST, os.SEEK_END)
        return file.read().hex()
