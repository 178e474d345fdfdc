"""What metrics of factors as numbers, discrete and continuous, check at their door."""

from typing import Any, NamedTuple

import numpy as np

from devae_jax.metrics.inputs import check_codes


class Numeric(NamedTuple):
    """Codes scaled to zero mean and unit deviation in training, and factors as numbers.

    varying: the factors with two values or more in training, int
    """

    codes: np.ndarray  # [N, D]
    values: np.ndarray  # [N, F]
    codes_test: np.ndarray  # [M, D]
    values_test: np.ndarray  # [M, F]
    varying: np.ndarray


def check_values(values: Any) -> np.ndarray:
    """Factors as float64 [N, F]. Raises ValueError unless 2-D, numbers, finite, one varying."""
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise ValueError(
            f"got factors of shape {values.shape} and type {values.dtype}, expected numbers "
            "[samples, factors]; a single factor needs factors[:, None]"
        )
    if not np.isfinite(values).all():
        raise ValueError("got NaN or Inf in factors, expected finite numbers; leave those out")
    if not np.ptp(values, axis=0).any():
        raise ValueError(
            "got factors that never vary, expected at least one with two values; evaluate on "
            "more of the data set"
        )
    return values.astype(np.float64)


def check_numeric(codes: Any, values: Any, codes_test: Any, values_test: Any) -> Numeric:
    """Training and test arrays, checked; constant latents are scaled to zero.

    Raises ValueError also where lengths or columns differ.
    """
    codes, codes_test = (check_codes(array).astype(np.float64) for array in (codes, codes_test))
    values, values_test = check_values(values), np.asarray(values_test, np.float64)
    shapes = [array.shape for array in (codes, values, codes_test, values_test)]
    rows, columns = zip(*shapes, strict=True)
    if rows[0] != rows[1] or rows[2] != rows[3] or columns[:2] != columns[2:]:
        raise ValueError(
            f"got arrays of shapes {shapes}, expected codes [N, D], factors [N, F], and both "
            "[M, ...] for the test; pass the factors of the encoded images"
        )
    mean, deviation = codes.mean(0), codes.std(0)
    deviation = np.where(np.ptp(codes, axis=0) > 0, deviation, np.inf)
    scaled, scaled_test = ((array - mean) / deviation for array in (codes, codes_test))
    return Numeric(scaled, values, scaled_test, values_test, np.flatnonzero(np.ptp(values, axis=0)))
