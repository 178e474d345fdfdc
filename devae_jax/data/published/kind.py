"""What a published data set is known by, and what its reader gives."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devae_jax.data.known import File

Picture = tuple[str, bytes]  # what a message calls it, and the file
Chunk = np.ndarray | list[Picture]  # images uint8 [n, H, W] or [n, H, W, C], or as files


class Raw(NamedTuple):
    """A data set as it comes, in any order.

    labels: [N, F]; of discrete factors any numbers, whose ranks are the values
    chunks: the N images, in the order of the labels, read once
    """

    labels: np.ndarray
    chunks: Iterable[Chunk]


class Kind(NamedTuple):
    """A published data set.

    factors: the number of values of each; 0 where it is continuous
    channels: of its images, 1 or 3
    path: what the user gives
    read(path, kind) -> Raw. Raises ValueError for another layout.
    url: where it comes from
    files: what is known of its files, by their names
    grid: whether it has each combination of factor values once
    """

    factors: Mapping[str, int]
    channels: int
    path: str
    read: Callable[..., "Raw"]
    url: str
    files: Mapping[str, File] = {}
    grid: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.factors)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.factors.values())


Reader = Callable[[Path, Kind], Raw]


def combinations(sizes: Iterable[int]) -> np.ndarray:
    """The labels of a full grid in row-major order, [number of images, factors]."""
    sizes = tuple(sizes)
    return np.indices(sizes).reshape(len(sizes), -1).T
