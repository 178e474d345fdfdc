"""Codes and factors that anyone can regenerate bit for bit, to compare metrics on.

A code is a pure function of the factors: s is the standardised factor, e noise from a table
that the image's number looks up. Eight cases, from perfect to collapsed.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devae_jax.types import FactorGrid

GRIDS = {
    "dsprites": FactorGrid(
        ("shape", "scale", "orientation", "x_position", "y_position"), (3, 6, 40, 32, 32)
    ),
    "shapes3d": FactorGrid(
        ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
        (10, 10, 10, 8, 4, 15),
    ),
}
CASES = (
    "a_perfect",
    "b_rotated",
    "c_partial",
    "d_diffused",
    "e_collapsed",
    "f_highdim",
    "g_warped",
    "h_constant",
)
ORACLE = json.loads((Path(__file__).parent / "fixtures" / "metrics_oracle.json").read_text())
_PERIOD = 8191
_SEEDS = {"dsprites": 2024, "shapes3d": 2025}


class Inputs(NamedTuple):
    """float32 codes [N, D], int64 factors [N, F], posterior deviations [D]."""

    codes: np.ndarray
    factors: np.ndarray
    codes_test: np.ndarray
    factors_test: np.ndarray
    deviations: np.ndarray

    def first(self, train: int, test: int) -> tuple[np.ndarray, ...]:
        """codes, factors, codes_test, factors_test of the first rows."""
        return (
            self.codes[:train],
            self.factors[:train],
            self.codes_test[:test],
            self.factors_test[:test],
        )


def standardise(factors: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    n = np.asarray(sizes, np.float64)
    return (factors - (n - 1.0) / 2.0) / np.sqrt((n * n - 1.0) / 12.0)


def rotation(dim: int) -> np.ndarray:
    """A fixed orthogonal matrix, rounded so that every LAPACK gives the same."""
    q, r = np.linalg.qr(np.random.RandomState(7).standard_normal((dim, dim)))
    return np.round(q * np.sign(np.diag(r)), 4)


def latent_dim(case: str, grid: str) -> int:
    num_factors = len(GRIDS[grid].sizes)
    return {"e_collapsed": 10, "f_highdim": 256, "h_constant": num_factors + 3}.get(
        case, num_factors + 5
    )


def slots(num_factors: int) -> tuple[list[int], list[int]]:
    """Where "f_highdim" keeps its live and its weak latents."""
    return [(17 + 31 * i) % 256 for i in range(num_factors)], [(5 + 61 * i) % 256 for i in range(4)]


def represent(case: str, grid: str) -> Callable[[np.ndarray], np.ndarray]:
    """The code of a case: int factors [N, F] -> float32 [N, D]."""
    sizes, k, dim = GRIDS[grid].sizes, len(GRIDS[grid].sizes), latent_dim(case, grid)
    table = np.random.RandomState(4242).standard_normal((_PERIOD, dim))
    q = rotation(k)

    def code(factors: np.ndarray) -> np.ndarray:
        factors = np.asarray(factors)
        s = standardise(factors, sizes)
        e = table[np.ravel_multi_index(tuple(factors.T), sizes) % _PERIOD]
        return _CASES[case](s, e, q).astype(np.float32)

    return code


def _perfect(s, e, q):
    return np.concatenate([s, e[:, s.shape[1] :]], axis=1)


def _rotated(s, e, q):
    mixed = np.zeros_like(s)
    for j in range(s.shape[1]):  # one column after another: a fixed order of summation
        mixed = mixed + s[:, j : j + 1] * q[:, j]
    return _perfect(mixed, e, q)


def _noisy(s, e):
    return s + 0.1 * e[:, : s.shape[1]]


def _partial(s, e, q):
    z = _perfect(_noisy(s, e), e, q)
    last = s.shape[1] - 1
    z[:, last] = (s[:, last - 1] + s[:, last]) * np.sqrt(0.5) + 0.1 * e[:, last]
    return z


def _diffused(s, e, q):
    z = _perfect(_noisy(s, e), e, q)
    for j in range(s.shape[1] - 1, s.shape[1] + 2):
        z[:, j] = s[:, -1] + 0.7 * e[:, j]
    return z


def _collapsed(s, e, q):
    z = 1e-3 * e
    z[:, 0], z[:, 1] = s[:, -1] + 0.1 * e[:, 0], s[:, -2] + 0.1 * e[:, 1]
    return z


def _highdim(s, e, q):
    z = 1e-3 * e
    live, weak = slots(s.shape[1])
    for i, place in enumerate(live):
        z[:, place] = s[:, i] + 0.1 * e[:, place]
    for i, place in enumerate(weak):
        z[:, place] = 0.3 * s[:, i] + 0.5 * e[:, place]
    return z


def _warped(s, e, q):
    warps = [
        lambda t: t**3,
        lambda t: np.tanh(2.0 * t),
        np.exp,
        lambda t: t * np.abs(t),
        lambda t: t + 0.5 * t**3,
        lambda t: np.arctan(3.0 * t),
    ]
    z = e.copy()
    for i in range(s.shape[1]):
        z[:, i] = warps[i](s[:, i]) + 0.02 * e[:, i]
    return z


def _constant(s, e, q):
    constants = np.broadcast_to([0.0, 0.0, 0.7], (len(s), 3))
    return np.concatenate([_noisy(s, e), constants], axis=1)


_CASES = {
    "a_perfect": _perfect,
    "b_rotated": _rotated,
    "c_partial": _partial,
    "d_diffused": _diffused,
    "e_collapsed": _collapsed,
    "f_highdim": _highdim,
    "g_warped": _warped,
    "h_constant": _constant,
}


def deviations(case: str, grid: str) -> np.ndarray:
    """Posterior standard deviation of each latent, the same for all images: float32 [D]."""
    k = len(GRIDS[grid].sizes)
    std = np.ones(latent_dim(case, grid))
    live, weak = slots(k)
    if case == "f_highdim":
        std[live], std[weak] = 0.1, 0.3
    else:
        std[: {"e_collapsed": 2, "d_diffused": k + 2}.get(case, k)] = 0.1
    return std.astype(np.float32)


def make(case: str, grid: str = "dsprites") -> Inputs:
    """10,000 training and 5,000 test rows of a case."""
    rng, sizes = np.random.RandomState(_SEEDS[grid]), GRIDS[grid].sizes
    train, test = (
        np.stack([rng.randint(size, size=n) for size in sizes], axis=1).astype(np.int64)
        for n in (10_000, 5_000)
    )
    code = represent(case, grid)
    return Inputs(code(train), train, code(test), test, deviations(case, grid))


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
