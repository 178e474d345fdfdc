"""A folder, tar or zip archive as files by their names, read in the order in which they lie."""

import itertools
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from devae_jax.data.foreign import check_room
from devae_jax.data.known import reading
from devae_jax.data.published.kind import Picture

CHUNK = 256  # files read at a time


class Archive(NamedTuple):
    """names: of all files, with / between folders; read(name) -> its bytes."""

    path: Path
    names: list[str]
    read: Callable[[str], bytes]

    def the(self, name: str, what: str) -> str:
        """The one file called `name`, in any folder. Raises ValueError for none or several."""
        found = [n for n in self.names if n == name or n.endswith(f"/{name}")]
        if len(found) > 1:
            found = [n for n in found if f"/{what}/" in f"/{n}"] or found
        if len(found) != 1:
            raise ValueError(
                f"got {len(found)} files {name} in {self.path}, expected one, of {what}; download "
                "it again, or take less of it"
            )
        return found[0]

    def pictures(self, names: Iterable[str]) -> Iterator[list[Picture]]:
        """These files, some at a time."""
        left = iter(names)
        while part := list(itertools.islice(left, CHUNK)):
            yield [(f"{name} in {self.path}", self.read(name)) for name in part]


def opened(path: Path) -> Archive:
    """The files in `path`; nothing is extracted to disk and links are left out.

    Reading a compressed tar archive in another order than that of `names` is slow.
    Raises ValueError for a damaged archive, also when it is read later, and for other files.
    """
    if path.is_dir():
        files = {f.relative_to(path).as_posix(): f for f in sorted(path.rglob("*")) if f.is_file()}
        return _archive(path, list(files), lambda name: files[name].read_bytes())
    with reading(path):
        if path.suffix == ".zip":
            zipped = zipfile.ZipFile(path)
            sizes = {
                item.filename: item.file_size for item in zipped.infolist() if not item.is_dir()
            }

            def unzip(name: str) -> bytes:
                check_room(sizes[name], name)
                return zipped.read(name)

            return _archive(path, list(sizes), unzip)
        tar = tarfile.open(path)  # noqa: SIM115 - it is read from later
        members = {member.name: member for member in tar if member.isfile()}

        def read(name: str) -> bytes:
            check_room(members[name].size, name)
            content = tar.extractfile(members[name])
            assert content is not None, f"{name} is a file"
            return content.read()

        return _archive(path, list(members), read)


def _archive(path: Path, names: list[str], read: Callable[[str], bytes]) -> Archive:
    def guarded(name: str) -> bytes:
        with reading(path, name):
            return read(name)

    return Archive(path, names, guarded)
