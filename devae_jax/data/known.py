"""Files that are known from elsewhere: their size and hash, and what is said of another file."""

import contextlib
import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from devae_jax.data.foreign import UNREADABLE


class OtherDataError(ValueError):
    """A whole file that is not the one expected."""


class File(NamedTuple):
    """A published file.

    algorithm: "sha256" or "md5", of which `digest` is the lower-case hexadecimal value
    size: in bytes; None where it is not known
    """

    algorithm: str
    digest: str
    size: int | None = None


def verify(path: Path, file: File, name: str, url: str) -> None:
    """Raises ValueError, with sizes and hashes, unless `path` is that file, byte for byte."""
    size = path.stat().st_size
    found = "not computed"
    if file.size in (None, size):
        with path.open("rb") as content:
            found = hashlib.file_digest(content, file.algorithm).hexdigest()
    if found != file.digest:
        wanted = "" if file.size is None else f"{file.size:,} bytes and "
        raise OtherDataError(
            f"got {path} of {size:,} bytes and {file.algorithm} {found}, expected {wanted}"
            f"{file.digest}, the published {name}; download it again from {url}, or pass "
            "--unverified if it differs on purpose"
        )


def verify_all(path: Path, files: Mapping[str, File], name: str, url: str) -> bool:
    """Whether `path`, or each known file in the folder `path`, is the published one.

    files: by their names. A file of another name must be one of them, whatever it is called.
    Returns False where nothing is known: for no `files`, and for a folder with none of them.
    Raises ValueError as `verify`.
    """
    if not files:
        return False
    if path.is_dir():
        here = [name for name in files if (path / name).is_file()]
        for file in here:
            verify(path / file, files[file], f"{name} {file}", url)
        return bool(here)
    if path.name in files or len(files) == 1:
        verify(path, files.get(path.name, next(iter(files.values()))), name, url)
        return True
    raise OtherDataError(
        f"got {path}, expected one of {', '.join(files)}, the published {name}; give it its name "
        "back, or pass --unverified if it differs on purpose"
    )


@contextlib.contextmanager
def reading(path: Path, part: str = "") -> Iterator[None]:
    """Turns what a damaged file raises inside the block into one line. Raises ValueError.

    part: of an archive, that is read
    """
    try:
        yield
    except OtherDataError:
        raise
    except (*UNREADABLE, tarfile.TarError) as error:
        size = f" of {path.stat().st_size:,} bytes" if path.is_file() else ""
        raise ValueError(
            f"got unreadable {part and f'{part} in '}{path}{size} ({' '.join(str(error).split())})"
            ", expected a whole file; the download is probably truncated, repeat it"
        ) from error
