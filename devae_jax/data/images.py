"""Images by number, for evaluation and figures, whatever the data set stores.

The number of an image counts from 0; with a factor grid it is the row-major number of
its factors.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.data import factors as fg
from devae_jax.types import Array, Dataset, FactorGrid

BATCH = 128  # images computed at a time: one program a data set
THREADS = 16  # that read images on the host
AT_ONCE = 8  # images that a thread reads one after the other


def points_of(dataset: Dataset, numbers: Array | np.ndarray) -> Array:
    """What stands for the images of these numbers: int32 [N] -> factors [N, F], or numbers [N]."""
    return _points(dataset.grid, jnp.asarray(numbers, jnp.int32))


def numbers_of(dataset: Dataset, points: Array | np.ndarray) -> Array:
    """The inverse of `points_of`."""
    points = jnp.asarray(points, jnp.int32)
    return points if dataset.grid is None else fg.to_index(dataset.grid, points)


def images_of(dataset: Dataset, numbers: Array | np.ndarray) -> np.ndarray:
    """The images of these numbers: int [N] -> float32 [N, H, W, C] in [0, 1], on the host.

    Raises ValueError for a number that is not from 0 to dataset.size - 1.
    """
    batches = [np.asarray(batch)[:count] for batch, count in batches_of(dataset, numbers)]
    return np.concatenate([np.zeros((0, *dataset.image_shape), np.float32), *batches])


def batches_of(
    dataset: Dataset, numbers: Array | np.ndarray, batch_size: int = BATCH
) -> Iterator[tuple[Array, int]]:
    """As `images_of`, in batches [batch_size, H, W, C], and how many of each are wanted.

    The last batch is filled up with images seen before, so that one program serves all.
    """
    numbers = np.asarray(numbers)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < dataset.size):
        raise ValueError(
            f"got image numbers {numbers.min()} to {numbers.max()}, expected 0 to "
            f"{dataset.size - 1}, those of {dataset.name!r}"
        )
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(numbers), batch_size):
            part = numbers[start : start + batch_size]
            padded = np.resize(np.arange(len(part)), batch_size)
            if dataset.observe is None:
                yield _scaled(read_images(dataset, part, threads)[padded]), len(part)
            else:
                chosen = jnp.asarray(part[padded], jnp.int32)
                yield _observed(dataset.observe, dataset.grid, dataset.arrays, chosen), len(part)


def read_images(dataset: Dataset, numbers: np.ndarray, threads: ThreadPoolExecutor) -> np.ndarray:
    """Reads images on the host, side by side: int [N] -> uint8 [N, H, W, C]."""
    read = dataset.read
    assert read is not None, f"{dataset.name} is not read on the host"
    pixels = np.empty((len(numbers), *dataset.image_shape), np.uint8)

    def fill(start: int) -> None:  # one task an image would cost more than a read from memory
        for place in range(start, min(start + AT_ONCE, len(numbers))):
            pixels[place] = read(int(numbers[place]))

    list(threads.map(fill, range(0, len(numbers), AT_ONCE)))
    return pixels


def scaled(pixels: Array) -> Array:
    """Intensities uint8 0..255 as float32 in [0, 1]."""
    return pixels.astype(jnp.float32) / 255


def _points(grid: FactorGrid | None, numbers: Array) -> Array:
    return numbers if grid is None else fg.from_index(grid, numbers)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _observed(
    observe: Callable[..., Array], grid: FactorGrid | None, arrays: Any, numbers: Array
) -> Array:
    return observe(arrays, _points(grid, numbers))


_scaled = jax.jit(scaled)
