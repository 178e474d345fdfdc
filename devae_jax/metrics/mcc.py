"""Mean correlation coefficient: MCC."""

from typing import Any

import numpy as np

from devae_jax.metrics.inputs import check_codes, spread
from devae_jax.metrics.numeric import check_values


def mcc(codes: Any, values: Any) -> dict[str, Any]:
    """Mean absolute correlation of each factor with a latent of its own, matched for the most.

    Factors are numbers, continuous or not. A factor that is left without a latent, where there
    are fewer, counts 0.

    Args:
      codes: [N, D], real.
      values: [N, F], real.

    Returns:
      mcc (Pearson's), mcc_spearman (of ranks: free of monotone maps), per_factor [F] (NaN for
      a one-valued factor), correlation [D, F] (Pearson's, absolute), main_latent [F] (-1 without).

    Source: Hyvärinen & Morioka 2016, "Unsupervised feature extraction by time-contrastive
    learning and nonlinear ICA"; as in its released code (hirosm/TCL), absolute correlations,
    matched by the Hungarian method.
    """
    from scipy.stats import rankdata

    codes, values = check_codes(codes), check_values(values)
    if len(codes) != len(values):
        raise ValueError(
            f"got {len(codes)} codes and {len(values)} rows of factors, expected as many of each; "
            "pass the factors of the encoded images, in their order"
        )
    varying = np.flatnonzero(np.ptp(values, axis=0))
    pearson, latents, correlation = _matched(codes, values[:, varying])
    spearman = _matched(rankdata(codes, axis=0), rankdata(values[:, varying], axis=0))[0]
    matrix = np.zeros((codes.shape[1], values.shape[1]))
    matrix[:, varying] = correlation
    main = np.full(values.shape[1], -1)
    main[varying] = latents
    return {
        "mcc": float(pearson.mean()),
        "mcc_spearman": float(spearman.mean()),
        "per_factor": spread(pearson, varying, values.shape[1]),
        "correlation": matrix,
        "main_latent": main,
        "protocol": "paper",
        "num_samples": len(codes),
    }


def _matched(codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlation of each factor with its latent [F], that latent (-1: none), all of them."""
    from scipy.optimize import linear_sum_assignment

    codes, values = (a - a.mean(0, dtype=np.float64) for a in (codes, values))
    lengths = np.linalg.norm(codes, axis=0)[:, None] * np.linalg.norm(values, axis=0)
    dead = np.ptp(codes, axis=0) <= 1e-12
    correlation = np.abs(codes.T @ values) / np.where(lengths > 0, lengths, 1.0)
    correlation[dead] = 0.0
    latent, factor = linear_sum_assignment(-correlation)
    found, main = np.zeros(values.shape[1]), np.full(values.shape[1], -1)
    found[factor], main[factor] = correlation[latent, factor], latent
    return np.minimum(found, 1.0), main, correlation
