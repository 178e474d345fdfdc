"""SmallNORB: photographs of toys (LeCun, Huang & Bottou 2004).

A folder with the six files of both halves, as they come (.mat.gz) or unpacked (.mat), in a binary
format of their own: a magic number for the type, the number of dimensions, at least three sizes,
all little-endian int32, and the values. Images are those of the first of the two cameras. The
format and hashes are those of disentanglement_lib, nmichlo/disent and tfds.
"""

import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from devae_jax.data.foreign import check_room
from devae_jax.data.known import File, OtherDataError, reading
from devae_jax.data.published.kind import Kind, Raw

HALVES = ("5x46789x9x18x6x2x96x96-training", "5x01235x9x18x6x2x96x96-testing")
TYPES = {  # magic number -> type
    0x1E3D4C51: "<f4",
    0x1E3D4C53: "<f8",
    0x1E3D4C54: "<i4",
    0x1E3D4C55: "u1",
    0x1E3D4C56: "<i2",
}
CHUNK = 1024  # images


def read(path: Path, kind: Kind) -> Raw:
    """Both halves in the folder `path`; each of the ten toys of a category is in one of them."""
    labels, images = [], []
    for half in HALVES:
        category, info, pictures = (
            _matrix(path, f"smallnorb-{half}-{part}.mat") for part in ("cat", "info", "dat")
        )
        paired = pictures.ndim == 4 and pictures.shape[1] == 2 and pictures.dtype == np.uint8
        if not paired or info.shape != (len(category), 4) or len(pictures) != len(category):
            raise ValueError(
                f"got cat {list(category.shape)}, info {list(info.shape)} and dat "
                f"{pictures.dtype} {list(pictures.shape)} of smallnorb-{half} in {path}, expected "
                "[N], [N, 4] and uint8 [N, 2, 96, 96]; download them again"
            )
        labels.append(np.column_stack([category, info]))
        images.append(pictures[:, 0])
    return Raw(np.concatenate(labels), _chunks(images))


def _chunks(halves: list[np.ndarray]) -> Iterator[np.ndarray]:
    for images in halves:
        yield from (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))


def _matrix(folder: Path, name: str) -> np.ndarray:
    found = [file for file in (folder / f"{name}.gz", folder / name) if file.is_file()]
    if not found:
        raise ValueError(
            f"got no {name}.gz in {folder}, expected a folder with the six files of SmallNORB; "
            "download it"
        )
    packed = found[0].suffix == ".gz"
    with reading(found[0]), gzip.open(found[0]) if packed else found[0].open("rb") as file:
        magic, dimensions = np.frombuffer(file.read(8), "<i4", 2).tolist()
        if magic not in TYPES or not 1 <= dimensions <= 8:
            raise OtherDataError(
                f"got {found[0]}, which does not begin with the magic number of a matrix, expected "
                "SmallNORB's binary format; download it again"
            )
        sizes = np.frombuffer(file.read(4 * max(3, dimensions)), "<i4", max(3, dimensions))
        shape = tuple(sizes[:dimensions].tolist())
        dtype = np.dtype(TYPES[magic])
        wanted = math.prod(shape) * dtype.itemsize
        check_room(wanted, "it")
        content = file.read(wanted + 1)
        if min(shape) < 1 or len(content) != wanted:
            raise EOFError(f"{wanted:,} bytes of values are not all there, or not all")
        return np.frombuffer(content, dtype).reshape(shape)


_URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_FILES = {
    f"{HALVES[0]}-dat": (
        131_896_188,
        "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
    ),
    f"{HALVES[0]}-cat": (348, "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
    f"{HALVES[0]}-info": (
        71_052,
        "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
    ),
    f"{HALVES[1]}-dat": (
        130_799_817,
        "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
    ),
    f"{HALVES[1]}-cat": (347, "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
    f"{HALVES[1]}-info": (
        10_428,
        "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
    ),
}
KINDS = {
    "smallnorb": Kind(
        factors={"category": 5, "instance": 10, "elevation": 9, "azimuth": 18, "lighting": 6},
        channels=1,
        path="a folder with the six files smallnorb-*.mat.gz",
        read=read,
        url=_URL,
        files={
            f"smallnorb-{name}.mat.gz": File("sha256", digest, size)
            for name, (size, digest) in _FILES.items()
        },
    )
}
