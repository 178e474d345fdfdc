"""What every metric checks at its door, so that bad input fails with a clear message."""

from typing import Any, NamedTuple

import numpy as np

from devae_jax.names import unknown

PROTOCOLS = ("dlib", "exact")  # what a caller may ask for; see `label`


class Labels(NamedTuple):
    """Factors renumbered by rank: 0 is the smallest value that occurs.

    values: int64 [N, F]
    raw: the factors as they came, int [N, F]
    sizes: number of different values of each factor that occur, int64 [F]
    varying: the factors with two values or more; the others can score nothing
        and are left out of every average
    """

    values: np.ndarray
    raw: np.ndarray
    sizes: np.ndarray
    varying: np.ndarray


def check_protocol(protocol: str) -> str:
    """Raises ValueError with the nearest name for an unknown protocol."""
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    return protocol


def label(protocol: str, definition: str) -> str:
    """What a result calls its protocol: "exact" where that was asked for, else its definition.

    A definition is "dlib" where it is disentanglement_lib's with all of its options; how many
    images were looked at is the result's num_samples.

    Raises ValueError as `check_protocol`.
    """
    return "exact" if check_protocol(protocol) == "exact" else definition


def check_codes(codes: Any) -> np.ndarray:
    """Codes [N, D] as float32 or float64. Raises ValueError unless 2-D, real and finite."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(
            f"got codes of shape {codes.shape}, expected [samples, latents]; "
            "take one latent layer and flatten the rest"
        )
    if codes.dtype not in (np.float32, np.float64):
        if codes.dtype.kind in "cOSU":
            raise ValueError(
                f"got codes of type {codes.dtype}, expected real numbers; convert them"
            )
        codes = codes.astype(np.float64)
    finite = np.isfinite(codes).all(0)
    if not finite.all():
        raise ValueError(
            f"got NaN or Inf in latents {np.flatnonzero(~finite)[:10].tolist()}, expected finite "
            "codes; the encoder diverged, evaluate an earlier checkpoint"
        )
    return codes


def check_factors(factors: Any) -> Labels:
    """Integer factors [N, F] as `Labels`. Raises ValueError for anything else."""
    factors = np.asarray(factors)
    if factors.ndim != 2 or 0 in factors.shape:
        raise ValueError(
            f"got factors of shape {factors.shape}, expected [samples, factors]; "
            "a single factor needs factors[:, None]"
        )
    if factors.dtype.kind not in "iub":
        raise ValueError(
            f"got factors of type {factors.dtype}, expected integers; bin continuous factors with "
            "metrics.bin_factors(factors, bins=10), or factors.astype(int) if they are whole"
        )
    values = np.empty(factors.shape[::-1], np.int64)
    for column, factor in zip(values, factors.T, strict=True):
        column[:] = np.unique(factor, return_inverse=True)[1]
    sizes = values.max(1) + 1
    varying = np.flatnonzero(sizes > 1)
    if not varying.size:
        raise ValueError(
            "got factors that never vary, expected at least one with two values; "
            "evaluate on more of the data set"
        )
    return Labels(values.T, factors, sizes, varying)


def check(codes: Any, factors: Any) -> tuple[np.ndarray, Labels]:
    """Both of the above. Raises ValueError also when their lengths differ."""
    codes, labels = check_codes(codes), check_factors(factors)
    if len(codes) != len(labels.values):
        raise ValueError(
            f"got {len(codes)} codes and {len(labels.values)} rows of factors, expected as many of "
            "each; pass the factors of the encoded images, in their order"
        )
    return codes, labels


class Split(NamedTuple):
    """Codes, their scaled form (zero mean and unit deviation in training), and labels."""

    codes: np.ndarray
    scaled: np.ndarray
    codes_test: np.ndarray
    scaled_test: np.ndarray
    labels: Labels
    labels_test: np.ndarray  # int64 [N, F], numbered as in training


def check_split(codes: Any, factors: Any, codes_test: Any, factors_test: Any) -> Split:
    """Training and test arrays, checked; constant latents are scaled to zero.

    Raises ValueError as `check`, and where the two differ in latents or factors.
    """
    codes, labels = check(codes, factors)
    codes_test, rest = check(codes_test, factors_test)
    if codes.shape[1] != codes_test.shape[1] or len(labels.sizes) != len(rest.sizes):
        raise ValueError(
            f"got {codes.shape[1]} latents and {len(labels.sizes)} factors in training, "
            f"{codes_test.shape[1]} and {len(rest.sizes)} in test; pass the same columns in both"
        )
    number = np.empty(rest.raw.shape, np.int64)
    for k in range(len(labels.sizes)):
        known = np.unique(labels.raw[:, k])
        place = np.searchsorted(known, rest.raw[:, k]).clip(max=len(known) - 1)
        number[:, k] = np.where(known[place] == rest.raw[:, k], place, -1)  # -1: never trained on
    mean, deviation = codes.mean(0, dtype=np.float64), codes.std(0, dtype=np.float64)
    deviation = np.where(np.ptp(codes, axis=0) > 0, deviation, np.inf)
    scaled, scaled_test = (
        ((array - mean) / deviation).astype(array.dtype) for array in (codes, codes_test)
    )
    return Split(codes, scaled, codes_test, scaled_test, labels, number)


def spread(values: Any, varying: np.ndarray, num_factors: int) -> np.ndarray:
    """Values of the factors that vary as [F], NaN for the others."""
    per_factor = np.full(num_factors, np.nan)
    per_factor[varying] = values
    return per_factor
