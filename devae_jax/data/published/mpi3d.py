"""MPI3D: a robot arm that holds an object, rendered or photographed (Gondal et al. 2019).

One .npz file a set with the array `images`, uint8 [N, 64, 64, 3], in row-major order of its
factors (README.md of rr-learning/disentanglement_dataset). It is read a part at a time.
"""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from devae_jax.data.known import File, OtherDataError, reading
from devae_jax.data.published.kind import Kind, Raw, combinations

CHUNK = 4096  # images
OLDER = (4, 4)  # colours and shapes of the simulated sets without those held out
FACTORS = {
    "object_color": 6,
    "object_shape": 6,
    "object_size": 2,
    "camera_height": 3,
    "background_color": 3,
    "horizontal_axis": 40,
    "vertical_axis": 40,
}


def read(path: Path, kind: Kind) -> Raw:
    """The images of `path`, of the grid of `kind`, or of that without held-out values."""
    count, shape = _header(path)
    sizes = kind.sizes
    if count == np.prod((*OLDER, *sizes[2:])):
        sizes = (*OLDER, *sizes[2:])
    if count != np.prod(sizes):
        raise OtherDataError(
            f"got {count:,} images in {path}, expected {np.prod(sizes):,}, "
            f"{' x '.join(map(str, sizes))}; take the file of this data set"
        )
    return Raw(combinations(sizes), _chunks(path, count, shape))


def _header(path: Path) -> tuple[int, tuple[int, ...]]:
    """The number and shape of the images; pickled objects are never loaded."""
    with reading(path), zipfile.ZipFile(path) as archive:
        if "images.npy" not in archive.namelist():
            raise OtherDataError(
                f"got {path} with {', '.join(archive.namelist())}, expected images.npy; this is "
                "another data set"
            )
        with archive.open("images.npy") as array:
            shape, _, dtype = _npy_header(array)
    if dtype != np.uint8 or len(shape) != 4:
        raise OtherDataError(
            f"got images {dtype} {list(shape)} in {path}, expected uint8 [N, 64, 64, 3]; this is "
            "another data set"
        )
    return shape[0], shape[1:]


def _npy_header(array: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(array)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise OtherDataError(f"got .npy format {version}, expected 1.0 or 2.0; write it again")
    return read[version](array)


def _chunks(path: Path, count: int, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    with reading(path), zipfile.ZipFile(path) as archive, archive.open("images.npy") as array:
        _npy_header(array)
        for start in range(0, count, CHUNK):
            n = min(CHUNK, count - start)
            wanted = n * int(np.prod(shape))
            content = array.read(wanted)
            if len(content) < wanted:
                raise EOFError(f"it ends in image {start + len(content) * n // wanted}")
            yield np.frombuffer(content, np.uint8).reshape(n, *shape)


_MD5 = {
    "toy": "55889cb7c7dfc655d6e0277beee88868",
    "realistic": "59a6225b88b635365f70c91b3e52f70f",
    "real": "0f33f609918fb5c97996692f91129802",
}
_kind = partial(
    Kind,
    channels=3,
    path="an .npz file with images",
    read=read,
    url="https://github.com/rr-learning/disentanglement_dataset",
)
KINDS = {
    **{
        f"mpi3d_{name}": _kind(FACTORS, files={f"mpi3d_{name}.npz": File("md5", digest)})
        for name, digest in _MD5.items()
    },
    "mpi3d_complex": _kind(FACTORS | {"object_color": 4, "object_shape": 4}),
}
