"""The grid of generative factors: index <-> factors, sampling, subsets.

All functions take a `FactorGrid`; factors are int32 [N, F], one column a factor,
and the index is row-major with the last factor fastest.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.names import unknown
from devae_jax.types import Array, FactorGrid


def num_images(grid: FactorGrid) -> int:
    """Number of points of the grid."""
    return math.prod(grid.sizes)


def _strides(grid: FactorGrid) -> np.ndarray:
    sizes = (*grid.sizes[1:], 1)
    return np.cumprod(sizes[::-1])[::-1].astype(np.int32)[None]  # [1, F]


def to_index(grid: FactorGrid, factors: Array) -> Array:
    """Row number of each factor tuple: int32 [N, F] -> int32 [N]."""
    return (jnp.asarray(factors, jnp.int32) * _strides(grid)).sum(-1, dtype=jnp.int32)


def from_index(grid: FactorGrid, index: Array) -> Array:
    """Factor tuple of each row number: int32 [N] -> int32 [N, F]."""
    sizes = np.asarray(grid.sizes, np.int32)[None]
    return jnp.asarray(index, jnp.int32)[:, None] // _strides(grid) % sizes


def sample(grid: FactorGrid, key: Array, n: int) -> Array:
    """`n` factor tuples, uniform over the grid and independent: int32 [n, F]."""
    return from_index(grid, jax.random.randint(key, (n,), 0, num_images(grid)))


def sample_conditional(
    grid: FactorGrid, key: Array, n: int, factor: Array | int, value: Array | int
) -> Array:
    """As `sample`, with column `factor` fixed to `value`; both may be traced. int32 [n, F]."""
    return sample(grid, key, n).at[:, factor].set(value)


def factor_number(grid: FactorGrid, name: str) -> int:
    """Column of the factor called `name`. Raises ValueError with the nearest name."""
    if name not in grid.names:
        raise unknown("factor", name, grid.names)
    return grid.names.index(name)


class Subset(NamedTuple):
    """Some values of each factor of a native grid.

    grid: what is left to vary; factors with a single value are not in it
    values: for every native factor, the kept native values, ascending
    restricted: the factors that lost values, {name: values}; JSON-able
    """

    grid: FactorGrid
    values: tuple[np.ndarray, ...]
    restricted: dict[str, list[int]]

    def native(self, factors: Array) -> Array:
        """The native factors of the subset's: int32 [N, F] -> [N, native F]."""
        columns = iter(factors.T)
        kept = [jnp.asarray(values, jnp.int32) for values in self.values]
        return jnp.stack(
            [
                v[next(columns)] if len(v) > 1 else jnp.broadcast_to(v, factors.shape[:1])
                for v in kept
            ],
            -1,
        )


def subset(native: FactorGrid, factors: Mapping[str, Sequence[int]] | None = None) -> Subset:
    """Keep only the listed values: `{"shape": [0], "scale": [2, 3]}`; others stay whole.

    Raises ValueError for an unknown factor, a value outside its range or listed
    twice, and when nothing is left to vary.
    """
    values = select(native, factors or {})
    varying = [i for i, kept in enumerate(values) if len(kept) > 1]
    if not varying:
        raise ValueError(
            f"got a single image from factors={dict(factors or {})}, expected at least one factor "
            "with two values or more; keep more values"
        )
    grid = FactorGrid(
        tuple(native.names[i] for i in varying), tuple(len(values[i]) for i in varying)
    )
    restricted = {
        name: kept.tolist()
        for name, kept, size in zip(native.names, values, native.sizes, strict=True)
        if len(kept) < size
    }
    return Subset(grid, values, restricted)


def select(grid: FactorGrid, factors: Mapping[str, Sequence[int]]) -> tuple[np.ndarray, ...]:
    """The listed values of each factor, ascending; all values of a factor not listed.

    Raises ValueError for an unknown factor, a value outside its range or listed twice.
    """
    chosen = {name: _kept(grid, name, values) for name, values in factors.items()}
    return tuple(
        np.asarray(chosen.get(name, range(size)), np.int64)
        for name, size in zip(grid.names, grid.sizes, strict=True)
    )


def _kept(native: FactorGrid, name: str, values: Sequence[int]) -> list[int]:
    size = native.sizes[factor_number(native, name)]
    listed = np.atleast_1d(np.asarray(values))
    whole = listed.dtype.kind in "iu" and listed.ndim == 1 and listed.size > 0
    if not whole or listed.min() < 0 or listed.max() >= size:
        raise ValueError(
            f"got values {values!r} of factor {name!r}, expected whole numbers from 0 to {size - 1}"
            "; list the indices of the values to keep"
        )
    if len(set(listed.tolist())) < len(listed):
        raise ValueError(
            f"got values {values!r} of factor {name!r}, expected each once; remove duplicates"
        )
    return sorted(listed.tolist())
