"""Tables on disk: written atomically, checked when read, rebuilt when damaged.

A file is an ordinary .npy with the SHA-256 of the array's bytes appended, so one
rename publishes both; `np.load` ignores what follows the array.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIGEST = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """A file that is not what was written."""


def folder(data_dir: str | os.PathLike | None = None) -> Path:
    """`data_dir`, or devae_jax in the user's cache ($XDG_CACHE_HOME, else ~/.cache)."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "devae_jax"


def sha256(array: np.ndarray) -> str:
    """Hash of the array's bytes in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def write(path: Path, array: np.ndarray) -> str:
    """Writes the table, or nothing at all. Returns its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = sha256(array)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.write(bytes.fromhex(digest))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return digest


def read(path: Path) -> tuple[np.ndarray, str]:
    """The table, memory-mapped, and its sha256. Raises DamagedError."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            file.seek(-DIGEST, os.SEEK_END)
            written = file.read().hex()
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
    return array, write(path, array)
