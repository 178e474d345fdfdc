"""Equal-width bins between the smallest and the largest value, closed on the left.

Edges are float64 whatever the codes are: float32 edges can tie with the codes.
"""

from typing import Any

import numpy as np

BINS = 20  # of the published scores


def bin_codes(codes: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin number of every code, 0 .. bins - 1: float [N, D] -> int64 [N, D].

    A code on an edge belongs to the bin above, the largest code to the last bin.

    Raises ValueError for fewer samples than bins.
    """
    if not isinstance(bins, int | np.integer) or bins < 2 or len(codes) < bins:
        raise ValueError(
            f"got {len(codes)} samples for bins={bins}, expected two bins or more, and at least as "
            "many samples; encode more images or ask for fewer bins"
        )
    binned = np.empty(codes.shape[::-1], np.int64)
    for row, code in zip(binned, codes.T, strict=True):
        code = code.astype(np.float64)
        edges = np.linspace(code.min(), code.max(), bins + 1)
        row[:] = np.searchsorted(edges[1:-1], code, side="right")
    return binned.T


def bin_factors(factors: Any, bins: int = 10) -> np.ndarray:
    """Continuous factors [N, F] as integers, `bins` equal-width bins each. int64 [N, F].

    Raises ValueError for anything but finite numbers, and for fewer samples than bins.
    """
    values = np.asarray(factors)
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise ValueError(
            f"got factors of shape {values.shape} and type {values.dtype}, expected finite numbers "
            "[samples, factors]; a single factor needs factors[:, None]"
        )
    return bin_codes(values, bins)
