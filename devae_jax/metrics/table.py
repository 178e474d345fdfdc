"""Codes of grid points: looked up where they are known, encoded where they are not."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.metrics.inputs import check_codes
from devae_jax.types import Array, Dataset, FactorGrid

Represent = Callable[[Array], Any]  # images [B, H, W, C] -> codes [B, D]
_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class CodeTable:
    """Codes of a factor grid, so that sampling metrics look up instead of encoding.

    codes: [M, D], of the whole grid in row-major order, or of the points `index`
    grid: the factor grid
    index: the grid numbers of the codes, int [M], ascending, if they are not the whole grid

    Raises ValueError where M is not the size of the grid, or of `index`, or the index is not
    one of ascending grid numbers.
    """

    codes: np.ndarray
    grid: FactorGrid
    index: np.ndarray | None = None

    def __post_init__(self) -> None:
        codes, size = check_codes(self.codes), math.prod(self.grid.sizes)
        expected = size if self.index is None else len(self.index)
        if len(codes) != expected:
            raise ValueError(
                f"got {len(codes)} codes for a grid of {size} points, expected {expected}; encode "
                "the whole grid in order, or pass the index of the points that were encoded"
            )
        known = np.asarray(self.index if self.index is not None else (0, size - 1))
        ascending = (np.diff(known) > 0).all() or self.index is None
        if not ascending or known[0] < 0 or known[-1] >= size:
            raise ValueError(
                f"got an index from {known[0]} to {known[-1]}, expected ascending grid numbers "
                f"from 0 to {size - 1}; sort it"
            )
        object.__setattr__(self, "codes", codes)
        if expected == size:
            object.__setattr__(self, "index", None)

    def lookup(self, index: np.ndarray) -> np.ndarray:
        """Codes of grid points: int [N] -> [N, D]. Raises ValueError for an unknown point."""
        if self.index is None:
            return np.take(self.codes, index, axis=0)
        row = np.searchsorted(self.index, index).clip(max=len(self.index) - 1)
        if (self.index[row] != index).any():
            raise ValueError(
                f"got a table of {len(self.codes)} of {math.prod(self.grid.sizes)} grid points, "
                "expected all that are drawn; encode the whole grid"
            )
        return np.take(self.codes, row, axis=0)


def grid_of(source: Any) -> FactorGrid:
    """The factor grid of a Dataset, of anything with a `.grid`, or the grid itself.

    Raises ValueError for a source without a grid.
    """
    grid = source if isinstance(source, FactorGrid) else source.grid
    if grid is None:
        lacks = "factors" if getattr(source, "table", None) is None else "a full grid of factors"
        raise ValueError(
            f"got data set {source.name!r} without {lacks}, expected one with a factor grid; "
            "choose a metric that needs none"
        )
    return grid


def tabulate(represent: Represent | CodeTable, source: Any, index: np.ndarray) -> CodeTable:
    """A table that knows the grid points `index`; encodes each different one once.

    source: a `Dataset`, or anything with `grid`, `arrays` and `observe(arrays, factors)`.

    Raises ValueError for a table of another grid, and for a function of images where the source
    has none to observe.
    """
    if isinstance(represent, CodeTable):
        if tuple(represent.grid.sizes) != tuple(grid_of(source).sizes):
            raise ValueError(
                f"got codes of a grid of sizes {represent.grid.sizes} for one of "
                f"{grid_of(source).sizes}, expected the same; pass the data set that was encoded"
            )
        return represent
    if source.observe is None:
        raise ValueError(
            f"got data set {source.name!r} that does not fit on a device, expected its codes; "
            "pass a CodeTable"
        )
    grid, points = grid_of(source), np.unique(index)
    observe: Any = source.observe
    if isinstance(source, Dataset):
        observe = jax.jit(observe)
    codes = []
    for start in range(0, len(points), _BATCH):
        part = np.resize(points[start : start + _BATCH], _BATCH)  # one size, compiled once
        factors = np.stack(np.unravel_index(part, grid.sizes), axis=1).astype(np.int32)
        codes.append(np.asarray(represent(observe(source.arrays, jnp.asarray(factors)))))
    return CodeTable(np.concatenate(codes)[: len(points)], grid, points)
