"""Mutual information of latents with factors over training: as rows of a study, and from them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from devae_jax.viz.rows import as_float, series

Row = dict[str, Any]
MI = "eval/mi"  # what training logs it as: [K, D, F], nats
LATENTS = 16  # of a run that are kept, the most informative ever; more than figures colour
DECIMALS = 2  # of nats: chance alone, in ten thousand samples, is some hundredths


def kept(found: Iterable[tuple[float, Row]], scores: Iterable[Row]) -> list[Row]:
    """Rows of the first latent layer, from what training logged at some shares of training.

    A row a share, its matrix in it as nested lists: a row a latent and factor, as scores have,
    would be four hundred a run, ten times what all else is. `value` is empty, so that a column of
    numbers stays one for who reads rows as a table, and beside it the rows have

      mi [d, F]: nats, of the latents that are kept
      latents [d]: which those are; of a thousand that are trained few hold anything
      latent_dim: of how many
      factors [F]: names, None where no score says them

    Args:
      found: the share and the logged row at each.
      scores: of the run, of which one has the factors' names.
    """
    matrices = [(at, row["step"], m[0]) for at, row in found if (m := _matrices(row)) is not None]
    if not matrices or len({m.shape for _, _, m in matrices}) > 1:
        return []
    peak = np.max([np.nan_to_num(m).max(axis=1) for _, _, m in matrices], axis=0)
    latents = np.sort(np.argsort(-peak, kind="stable")[:LATENTS])
    factors = next((row["factors"] for row in scores if row.get("factors")), None)
    return [
        {
            "metric": MI,
            "layer": 0,
            "protocol": "training",
            "at": at,
            "step": step,
            "value": None,
            "low": None,
            "high": None,
            "mi": np.round(m[latents], DECIMALS).tolist(),
            "latents": latents.tolist(),
            "latent_dim": len(m),
            "factors": factors,
        }
        for at, step, m in matrices
    ]


def matrix(row: Mapping[str, Any]) -> np.ndarray | None:
    """[D, F] of such a row, NaN for latents that are not kept; None if it holds none."""
    values, latents, dim = as_float(row.get("mi")), row.get("latents"), row.get("latent_dim")
    if values is None or values.ndim != 2 or not isinstance(latents, list):
        return None
    if not isinstance(dim, int) or len(latents) != len(values):
        return None
    if not all(isinstance(d, int) and 0 <= d < dim for d in latents):
        return None
    every = np.full((dim, values.shape[1]), np.nan)
    every[latents] = values
    return every


def history(rows: Iterable[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [T] and matrices [T, D, F] of a run's rows; of none or one step there is no history."""
    steps, found = series(({"step": row["step"], "mi": matrix(row)} for row in rows), "mi")
    enough = found.ndim == 3 and len(steps) > 1 and np.isfinite(found).any()
    return (steps, found) if enough else (np.zeros(0), np.zeros((0, 0, 0)))


def _matrices(row: Row) -> np.ndarray | None:
    """[K, D, F] as training logged it."""
    found = as_float(row.get(MI))
    return found if found is not None and found.ndim == 3 and found.size else None
