"""Information of the posteriors themselves, not only of their means: RMIG and JEMMIG."""

from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.information import entropy
from devae_jax.metrics.inputs import check, check_codes, spread
from devae_jax.metrics.matrices import top_two

_FLOOR = 1e-8  # of densities, inside logarithms
_BLOCK = 1 << 18  # densities held at once: fits the cache


def rmig(
    mean: Any,
    logvar: Any,
    factors: Any,
    key: int | jax.Array = 0,
    *,
    num_samples: int | None = None,
) -> dict[str, Any]:
    """Robust MIG and JEMMIG: information between z ~ q(z|x) and the factors, without bins.

    Densities q(z_j) and q(z_j, y_k) are means of N posteriors at S samples of them: the cost
    grows as S N D.

    Args:
      mean, logvar: posteriors of N images, [N, D].
      factors: [N, F], integers.
      num_samples: S, default N.

    Returns:
      rmig: mean_k (I(z_1; y_k) - I(z_2; y_k)) / H(y_k); rmig_nats without the division;
      jemmig: mean_k H(z_1, y_k) - I(z_1; y_k) + I(z_2; y_k) in nats, less is better and, being
      a differential entropy, maybe negative; per_factor and jemmig_per_factor [F] (NaN for a
      one-valued factor), mi [D, F], entropy and conditional_entropy given x [D].

    Source: Do & Tran 2020, "Theory and evaluation metrics for learning disentangled
    representations", section 4.
    """
    codes, labels = check(mean, factors)
    centre = codes.astype(np.float64).T
    deviation = np.exp(0.5 * check_codes(logvar).astype(np.float64)).T
    if deviation.shape != centre.shape:
        raise ValueError(
            f"got mean {centre.T.shape} and logvar {deviation.T.shape}, expected equal"
        )
    n, dim = codes.shape
    size = num_samples or n
    rng = numpy_rng(key)
    rows = rng.choice(n, size=size, replace=True, p=np.full(n, 1 / n))
    z = (codes[rows] + rng.randn(size, dim) * deviation.T[rows]).T
    onehot = np.concatenate(
        [np.eye(int(v))[labels.values[:, k]] for k, v in enumerate(labels.sizes)], axis=1
    )
    first = np.concatenate([[0], np.cumsum(labels.sizes)[:-1]])
    column = first + labels.values[rows]  # [S, F], where each sample's own value is
    marginal, given_x = np.zeros(dim), np.zeros(dim)
    joint = np.zeros((dim, len(labels.sizes)))
    step = max(1, _BLOCK // n)
    for j in range(dim):
        given_x[j] = _surprise(_density(z[j], centre[j, rows], deviation[j, rows]))
        for start in range(0, size, step):
            part = slice(start, start + step)
            density = _density(z[j, part, None], centre[None, j], deviation[None, j])
            weight = len(density) / size
            marginal[j] += weight * _surprise(density.mean(1))
            values = density @ onehot / n
            joint[j] += weight * _surprise(np.take_along_axis(values, column[part], axis=1))
    known = np.array([entropy(np.bincount(factor)) for factor in labels.values.T])
    mi = marginal[:, None] + known - joint
    varying = labels.varying
    best, second = top_two(mi[:, varying])
    best_joint = joint[mi[:, varying].argmax(0), varying]
    gap = best - second
    return {
        "rmig": float((gap / known[varying]).mean()),
        "rmig_nats": float(gap.mean()),
        "jemmig": float((best_joint - gap).mean()),
        "per_factor": spread(gap / known[varying], varying, len(known)),
        "jemmig_per_factor": spread(best_joint - gap, varying, len(known)),
        "mi": mi,
        "entropy": marginal,
        "conditional_entropy": given_x,
        "protocol": "paper",
        "num_samples": size,
    }


def _density(z: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    scaled = (z - mean) / deviation
    return np.exp(-0.5 * scaled * scaled) / (deviation * np.sqrt(2 * np.pi))


def _surprise(density: np.ndarray) -> Any:
    """Mean of -log over the first axis."""
    return -np.log(np.maximum(density, _FLOOR)).mean(0)
