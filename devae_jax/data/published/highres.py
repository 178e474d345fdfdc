"""Falcor3D and Isaac3D: a living room and a kitchen, rendered (Nie et al. 2020).

Folders or archives of NNNNNN.png, numbered in row-major order of the factors. The order of Isaac3D
is that of dataset_demo.py in NVlabs/High-res-disentanglement-datasets: the list in README.md there
names the same factors in an order that does not fit the strides it gives.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from devae_jax.data.known import OtherDataError
from devae_jax.data.published.archive import opened
from devae_jax.data.published.kind import Kind, Raw

NUMBERED = re.compile(r"(?:^|/)(\d+)\.png$")


def read(path: Path, kind: Kind) -> Raw:
    """The numbered pictures in `path`, of any size and at any depth."""
    archive = opened(path)
    numbered = {name: int(found[1]) for name in archive.names if (found := NUMBERED.search(name))}
    numbers, count = np.array(list(numbered.values())), int(np.prod(kind.sizes))
    if len(numbers) != count or numbers.max() >= count:
        most = f", numbered up to {numbers.max():,}" if len(numbers) else ""
        raise OtherDataError(
            f"got {len(numbers):,} numbered pictures{most} in {path}, expected {count:,} from 0 "
            "on, each once; unpack all of the data set there"
        )
    return Raw(np.stack(np.unravel_index(numbers, kind.sizes), 1), archive.pictures(numbered))


_kind = partial(
    Kind,
    channels=3,
    path="the folder or archive of its NNNNNN.png",
    read=read,
    url="https://github.com/NVlabs/High-res-disentanglement-datasets",
)
KINDS = {
    "falcor3d": _kind(
        {
            "lighting_intensity": 5,
            "lighting_x_direction": 6,
            "lighting_y_direction": 6,
            "lighting_z_direction": 6,
            "camera_x_position": 6,
            "camera_y_position": 6,
            "camera_z_position": 6,
        }
    ),
    "isaac3d": _kind(
        {
            "object_shape": 3,
            "robot_x_movement": 8,
            "robot_y_movement": 5,
            "camera_height": 4,
            "object_scale": 4,
            "lighting_intensity": 4,
            "lighting_y_direction": 6,
            "object_color": 4,
            "wall_color": 4,
        }
    ),
}
