"""UDR: which of many runs is disentangled, without any labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from devae_jax.metrics.inputs import check_codes
from devae_jax.names import unknown

METHODS = ("lasso", "spearman")


def relative_strength(matrix: np.ndarray) -> float:
    """How close a similarity matrix of latents is to a permutation: mean of max^2 / sum.

    Averaged over columns, over rows, and the two; empty rows and columns count 0.
    """

    def score(similar: np.ndarray) -> float:
        total = similar.sum(0)
        best = similar.max(0, initial=0.0)
        return float(np.mean(best**2 / np.where(total > 0, total, 1.0))) if total.size else 0.0

    return (score(matrix) + score(matrix.T)) / 2


def udr(
    codes: Sequence[Any],
    kl: Sequence[Any] | None = None,
    *,
    method: str = "lasso",
    threshold: float = 0.01,
    key: int = 0,
) -> dict[str, Any]:
    """Unsupervised disentanglement ranking of M runs by how alike their latents are.

    Two disentangled codes are equal up to order and sign. For every two runs, the latents'
    similarity (absolute lasso weights with alpha = 0.1, or absolute rank correlation) among
    informative latents is scored by `relative_strength`; a run's score is the median over
    the others.

    Args:
      codes: M arrays [N, D_m] of the same images.
      kl: M arrays [D_m], mean KL of each latent; those at or under `threshold` nats are left
        out. Without it all latents count.

    Returns:
      udr: scores of the runs, [M]; pairwise [M, M], zero diagonal.

    Raises:
      ValueError: for fewer than two runs or runs of other images.

    Source: Duan et al. 2020, "Unsupervised model selection for variational disentangled
    representation learning".
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    runs = [check_codes(code).astype(np.float64) for code in codes]
    if len(runs) < 2 or len({len(run) for run in runs}) > 1:
        raise ValueError(
            f"got runs of {[len(run) for run in runs]} images, expected two runs or more, encoding "
            "the same images"
        )
    masks = [np.ones(run.shape[1], bool) for run in runs]
    if kl is not None:
        if len(kl) != len(runs) or any(np.isnan(cost).any() for cost in kl):
            raise ValueError(
                f"got kl of {len(kl)} runs for {len(runs)} runs, expected one array each without "
                "NaN; pass metrics.kl(mean, logvar)['per_latent'] of every run"
            )
        masks = [np.asarray(cost) > threshold for cost in kl]
    for run in runs:
        deviation = run.std(0)
        run -= run.mean(0)
        run /= np.where(np.ptp(run, axis=0) > 0, deviation, np.inf)
    for run, mask in zip(runs, masks, strict=True):
        if mask.shape != (run.shape[1],):
            raise ValueError(f"got kl of shape {mask.shape}, expected ({run.shape[1]},)")
        run[:, ~mask] = 0.0
    pairwise = np.zeros((len(runs), len(runs)))
    for a, first in enumerate(runs):
        for b, second in enumerate(runs):
            if a != b:
                similar = _lasso(first, second, key) if method == "lasso" else _rank(first, second)
                pairwise[a, b] = relative_strength(similar[np.ix_(masks[a], masks[b])])
    others = ~np.eye(len(runs), dtype=bool)
    scores = [np.median(pairwise[others[:, m], m]) for m in range(len(runs))]
    return {"udr": np.array(scores), "pairwise": pairwise, "method": method}


def _lasso(first: np.ndarray, second: np.ndarray, key: int) -> np.ndarray:
    from sklearn.linear_model import Lasso

    weights = Lasso(alpha=0.1, random_state=key).fit(first, second).coef_
    return np.abs(weights.reshape(second.shape[1], first.shape[1]).T)


def _rank(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    def standard(codes: np.ndarray) -> np.ndarray:
        ranks = rankdata(codes, axis=0)
        ranks -= ranks.mean(0)
        norm = np.sqrt(np.square(ranks).sum(0))
        return ranks / np.where(norm > 0, norm, 1.0)

    return np.abs(standard(first).T @ standard(second))
