"""Scores that need no factors: how far the latents are from independent."""

from typing import Any

import numpy as np

from devae_jax.metrics.binning import BINS, bin_codes
from devae_jax.metrics.information import entropy
from devae_jax.metrics.inputs import check_codes, label


def gaussian_total_correlation(covariance: np.ndarray) -> float:
    """KL from N(0, covariance [D, D]) to the product of its marginals, nats."""
    log_marginals = np.log(np.diag(covariance)).sum()
    return float(0.5 * (log_marginals - np.linalg.slogdet(covariance)[1]))


def gaussian_wasserstein(covariance: np.ndarray) -> float:
    """Squared 2-Wasserstein distance from N(0, covariance) to the product of its marginals."""
    deviation = np.sqrt(np.diag(covariance))
    values = np.linalg.eigvalsh(covariance * deviation * deviation[:, None])
    return float(2 * np.trace(covariance) - 2 * np.sqrt(np.maximum(values, 0)).sum())


def total_correlation_bias(n: int, dim: int) -> float:
    """What `gaussian_total_correlation` reads for `n` samples of `dim` independent Gaussians."""
    from scipy.special import digamma

    free = n - 1
    return float(0.5 * (digamma(free / 2) - digamma((free - np.arange(dim)) / 2)).sum())


def pairwise_information(binned: np.ndarray, bins: int) -> np.ndarray:
    """Mutual information of every two binned latents [N, D]: nats, [D, D], zero diagonal."""
    n, dim = binned.shape
    columns = np.ascontiguousarray(binned.T)
    single = np.array([entropy(np.bincount(column, minlength=bins)) for column in columns])
    cost = np.arange(n + 1) * np.log(np.maximum(np.arange(n + 1), 1))  # c log c of every count
    matrix = np.zeros((dim, dim))
    for i in range(dim):
        first = columns[i] * bins
        for j in range(i):
            counts = np.bincount(first + columns[j], minlength=bins * bins)
            joint = np.log(n) - cost[counts].sum() / n
            matrix[i, j] = max(single[i] + single[j] - joint, 0.0)
    return matrix + matrix.T


def unsupervised(
    codes: Any, factors: Any = None, *, protocol: str = "dlib", bins: int = BINS
) -> dict[str, Any]:
    """Gaussian total correlation, Wasserstein correlation and mean pairwise information.

    Constant latents are independent of all: they add nothing (the reference's total correlation
    is NaN then). Under "exact" the total correlation is less its bias, that of as many samples
    of independent Gaussians: 26 nats for D = 1000 at 10,000 samples.

    Args:
      codes: [N, D]; `factors` are not needed and not read.

    Returns:
      gaussian_total_correlation (nats, also under the key unsupervised),
      gaussian_wasserstein_correlation and _norm (divided by the total variance; 0 without
      variance), mutual_info_score (nats), pairwise_mi [D, D]; inf for a singular covariance.

    Source: Locatello et al. 2019, "Challenging common assumptions in the unsupervised learning
    of disentangled representations", section 5.4.
    """
    codes = check_codes(codes)
    name = label(protocol, "dlib" if bins == BINS else "custom")
    moving = codes[:, np.ptp(codes, axis=0) > 0]
    covariance = np.atleast_2d(np.cov(moving, rowvar=False, dtype=np.float64))
    correlation = wasserstein = norm = 0.0
    if moving.shape[1] > 1:
        correlation = gaussian_total_correlation(covariance)
        wasserstein = gaussian_wasserstein(covariance)
        norm = wasserstein / float(np.trace(covariance))
        if protocol == "exact" and moving.shape[1] < len(codes):
            correlation -= total_correlation_bias(len(codes), moving.shape[1])
    pairwise = pairwise_information(bin_codes(codes, bins), bins)
    pairs = codes.shape[1] * (codes.shape[1] - 1)
    return {
        "unsupervised": correlation,
        "gaussian_total_correlation": correlation,
        "gaussian_wasserstein_correlation": wasserstein,
        "gaussian_wasserstein_correlation_norm": norm,
        "mutual_info_score": float(pairwise.sum() / max(pairs, 1)),
        "pairwise_mi": pairwise,
        "protocol": name,
        "bins": bins,
        "num_samples": len(codes),
    }
