"""Which images show what each factor does: the others stay as they are, or nearly."""

import numpy as np

from devae_jax.data.labels import Labels


def traversals(labels: Labels, size: int, *, steps: int = 8, seed: int = 0) -> np.ndarray:
    """Numbers of images int [F, steps], each row along one factor from its least to its most.

    On a full grid the other factors are those of one image, drawn from `seed`. In a table, where
    such images need not exist, they are the nearest to it: of the images of that value, or of
    that part of a continuous factor's range, the one whose other factors differ least, in units
    of their deviations. A factor of fewer values has its last image repeated.
    """
    rng = np.random.RandomState(seed)
    number = rng.randint(size, size=1)
    if labels.grid is not None:
        rows, sizes = [], labels.grid.sizes
        for column in labels.columns:
            points = np.tile(np.unravel_index(number[0], sizes), (steps, 1))
            points[:, column] = _spread(sizes[column], steps)
            rows.append(np.ravel_multi_index(tuple(points.T), sizes))
        return np.stack(rows)
    base, values = labels.of(number)[0], labels.of(np.arange(size))
    deviation = values.std(0)
    apart = (values - base) / np.where(deviation > 0, deviation, 1.0)
    return np.stack([_nearest(values, apart, k, steps) for k in range(values.shape[1])])


def _nearest(values: np.ndarray, apart: np.ndarray, column: int, steps: int) -> np.ndarray:
    order = np.argsort(values[:, column], kind="stable")
    different = np.unique(values[:, column])
    if len(different) <= steps:
        parts = [np.flatnonzero(values[:, column] == value) for value in different]
    else:
        parts = np.array_split(order, min(steps, len(order)))
    others = np.square(np.delete(apart, column, axis=1)).sum(1)
    found = [part[np.argmin(others[part])] for part in parts]
    return np.array(found + [found[-1]] * (steps - len(found)))


def _spread(count: int, steps: int) -> np.ndarray:
    """Values from 0 to count - 1, evenly spread; each once and the last repeated, if few."""
    if count <= steps:
        return np.minimum(np.arange(steps), count - 1)
    return np.linspace(0, count - 1, steps).round().astype(np.int64)
