"""What a file from elsewhere may not do: point to other files, or fill the memory."""

import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

# What reading a damaged file raises, whatever the library below; MemoryError: of a false size.
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, MemoryError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def inside(file: Any, key: str) -> Any:
    """The array or group `key`, "group/name", of an HDF5 file, without opening any other file.

    Raises ValueError, to be told with the path, where `key` is missing, a link, or an array whose
    data lie in other files.
    """
    import h5py

    for name in key.split("/"):
        link = file.get(name, getlink=True) if isinstance(file, h5py.Group) else None
        if link is None:
            raise ValueError(f"{key} is missing")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to elsewhere; copy the data into the file")
        file = file[name]
    if isinstance(file, h5py.Dataset) and (file.external or file.is_virtual):
        raise ValueError(f"{key} is a link to elsewhere; copy the data into the file")
    return file


def array_inside(file: Any, key: str) -> Any:
    """As `inside`, an array."""
    import h5py

    found = inside(file, key)
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{key} is no array")
    return found


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_room(size: int, what: str) -> None:
    """Raises ValueError where `size` bytes are more than the memory of this machine."""
    if size > memory():
        raise ValueError(
            f"{what} takes {size / 1e9:,.1f} GB, more than the {memory() / 1e9:,.1f} GB of memory"
        )


def load_numpy(path: Path, *, mapped: bool = False) -> Any:
    """As np.load, of files that hold no pickles and no more than the memory can.

    Raises ValueError and others of UNREADABLE.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            check_room(sum(item.file_size for item in file.infolist()), "unpacked, it")
    return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
