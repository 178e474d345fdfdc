"""Mutual information of binned codes with factors: the matrix behind half of the metrics.

Natural logarithms everywhere.
"""

from typing import Any, NamedTuple

import numpy as np

from devae_jax.metrics.binning import BINS, bin_codes
from devae_jax.metrics.inputs import Labels, check, label

KNOWN = 0.01  # of a factor's entropy: less information than this does not count


class Information(NamedTuple):
    """Entropies in nats; F counts all factors, one-valued ones have entropy 0.

    mi: I(z_j; y_k), [D, F]
    codes: H(z_j) of the binned latents, [D]
    factors: H(y_k), [F]
    bias, noise: mean and standard deviation of what `mi` reads for independent variables
        (2 N mi is then chi-squared), [D, F]
    """

    mi: np.ndarray
    codes: np.ndarray
    factors: np.ndarray
    bias: np.ndarray
    noise: np.ndarray

    def known(self) -> np.ndarray:
        """Information less its bias; 0 under 1 % of the factor's entropy, or within the noise."""
        excess = self.mi - self.bias
        return np.where(excess > np.maximum(KNOWN * self.factors, 4 * self.noise), excess, 0.0)


def entropy(counts: np.ndarray) -> np.ndarray:
    """Plug-in entropy in nats over the last axis of counts."""
    total = counts.sum(-1)
    return np.log(total) - (counts * np.log(np.maximum(counts, 1))).sum(-1) / total


def information(codes: np.ndarray, labels: Labels, bins: int = BINS) -> Information:
    """All entropies between D latents and F factors, by joint histograms."""
    binned, sizes = bin_codes(codes, bins), labels.sizes
    code_entropy = np.array([entropy(np.bincount(code, minlength=bins)) for code in binned.T])
    factor_entropy = np.array([entropy(np.bincount(factor)) for factor in labels.values.T])
    joint = np.empty((codes.shape[1], len(sizes)))
    occupied = np.array([np.count_nonzero(np.bincount(code)) for code in binned.T])
    for k, (factor, size) in enumerate(zip(labels.values.T, sizes, strict=True)):
        for j, code in enumerate(binned.T):
            joint[j, k] = entropy(np.bincount(code * size + factor, minlength=bins * size))
    mi = np.maximum(code_entropy[:, None] + factor_entropy - joint, 0.0)
    # What does not vary knows nothing; rounding would leave 1e-16, which ratios blow up.
    mi = np.where((occupied[:, None] > 1) & (sizes > 1), mi, 0.0)
    free = (occupied[:, None] - 1) * (sizes - 1)
    bias, noise = free / (2 * len(codes)), np.sqrt(2 * free) / (2 * len(codes))
    return Information(mi, code_entropy, factor_entropy, bias, noise)


def bins_for(protocol: str, labels: Labels) -> int:
    """20 bins as published; `exact` takes enough to tell all values of every factor apart."""
    enough = min(2 * int(labels.sizes.max()), len(labels.values))
    return BINS if protocol == "dlib" else max(BINS, enough)


def measure(
    codes: Any, factors: Any, protocol: str, bins: int | None, definition: str
) -> tuple[Information, Labels, dict[str, Any]]:
    """Check, bin and measure; with it what every metric of this family reports.

    definition: what the metric calls its protocol with 20 bins; "binned" with any other number
        that was asked for
    """
    codes, labels = check(codes, factors)
    if bins not in (None, BINS):
        definition = "binned"
    facts: dict[str, Any] = {"protocol": label(protocol, definition)}
    facts["bins"] = bins_for(protocol, labels) if bins is None else bins
    facts["num_samples"] = len(codes)
    return information(codes, labels, facts["bins"]), labels, facts


def mi_matrix(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> np.ndarray:
    """Mutual information of every latent with every factor, nats, [D, F]."""
    return measure(codes, factors, protocol, bins, "dlib")[0].mi
