"""Cars3D: 183 cars from 96 sides (Reed et al. 2015).

nips2015-analogy-data.tar.gz has data/cars/list.txt, the names of the cars, and a MATLAB file
car_NNN_mesh.mat for each with `im`, uint8 [128, 128, 3, azimuths, elevations]; other data in it
is not read. The layout is that of nmichlo/disent's and disentanglement_lib's readers.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from devae_jax.data.known import File, OtherDataError, reading
from devae_jax.data.published.archive import Archive, opened
from devae_jax.data.published.kind import Kind, Raw

CARS = "list.txt"


def read(path: Path, kind: Kind) -> Raw:
    """The cars of the archive `path`, or of a folder that was extracted from it."""
    archive = opened(path)
    meshes = [name for name in archive.names if _car(name)]
    cars = archive.read(archive.the(CARS, "cars")).decode().split()
    missing = sorted(set(cars) - {_car(name) for name in meshes})
    if missing or not cars:
        raise ValueError(
            f"got {len(cars) - len(missing)} of the {len(cars)} cars in {path}, expected all, also "
            f"{', '.join(missing[:3]) or 'one'}; download it again"
        )
    meshes = [name for name in meshes if _car(name) in cars]
    elevations, azimuths, _ = kind.sizes
    side = [
        (elevation, azimuth, cars.index(_car(name)))
        for name in meshes
        for elevation in range(elevations)
        for azimuth in range(azimuths)
    ]
    return Raw(np.array(side), _images(archive, meshes, (azimuths, elevations)))


def _car(name: str) -> str:
    """The car that a file is of, "" for other files."""
    stem = name.rpartition("/")[2]
    return stem[:-4] if stem.startswith("car_") and stem.endswith(".mat") else ""


def _images(archive: Archive, meshes: list[str], sides: tuple[int, int]) -> Iterator[np.ndarray]:
    from scipy.io import loadmat, whosmat

    for name in meshes:
        with reading(archive.path, name):
            content = io.BytesIO(archive.read(name))
            found = {key: (shape, kind) for key, shape, kind in whosmat(content)}
            shape, kind = found.get("im", ((), "nothing"))
            if kind != "uint8" or len(shape) != 5 or shape[3:] != sides:
                raise OtherDataError(
                    f"got im {kind} {list(shape)} of {name} in {archive.path}, expected uint8 "
                    f"[128, 128, 3, {sides[0]}, {sides[1]}]; this is not the published layout"
                )
            images = loadmat(content, variable_names=["im"])["im"]
        yield images.transpose(4, 3, 0, 1, 2).reshape(-1, *shape[:3])


KINDS = {
    "cars3d": Kind(
        factors={"elevation": 4, "azimuth": 24, "object_type": 183},
        channels=3,
        path="nips2015-analogy-data.tar.gz, or its folder data/cars",
        read=read,
        url="http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
        files={"nips2015-analogy-data.tar.gz": File("md5", "4e866a7919c1beedf53964e6f7a23686")},
    )
}
