"""What a score would be for a code that knows nothing and for one that knows all.

Raw values mislead: MIG of a perfect code on dSprites is .896, since 20 bins cannot tell 40
orientations apart, and modularity of pure noise about .66.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from devae_jax.types import FactorGrid

_PERIOD = 8191  # prime: noise repeats, but never in step with a factor
_DEAD = 1e-3  # deviation of a latent that is switched off


class FactorSource(NamedTuple):
    """A source whose observations are the factors themselves, so that codes are formulas."""

    grid: FactorGrid
    arrays: Any = None
    nuisance: tuple[str, ...] = ()

    def observe(self, arrays: Any, factors: Any) -> np.ndarray:
        return np.asarray(factors)


def noise_code(grid: FactorGrid, dim: int) -> Callable[[Any], np.ndarray]:
    """The floor: factors [N, F] -> D latents of noise, the same for the same image."""
    table = np.random.RandomState(0).standard_normal((_PERIOD, dim)).astype(np.float32)

    def represent(factors: Any) -> np.ndarray:
        return table[np.ravel_multi_index(tuple(np.asarray(factors).T), grid.sizes) % _PERIOD]

    return represent


def perfect_code(
    grid: FactorGrid, dim: int, nuisance: Sequence[str] = ()
) -> Callable[[Any], np.ndarray]:
    """The ceiling: factors [N, F] -> one latent a factor, standardised; the rest are dead.

    With fewer latents than factors it holds those of most values; none that is nuisance.
    """
    noise = noise_code(grid, dim)
    order = np.argsort([-size for size in grid.sizes], kind="stable")
    held = np.array([k for k in order if grid.names[k] not in nuisance][:dim])
    sizes = np.asarray(grid.sizes, np.float64)[held]
    deviation = np.sqrt(np.maximum(sizes**2 - 1, 1) / 12)

    def represent(factors: Any) -> np.ndarray:
        codes = _DEAD * noise(factors)
        codes[:, : len(held)] = (np.asarray(factors)[:, held] - (sizes - 1) / 2) / deviation
        return codes

    return represent
