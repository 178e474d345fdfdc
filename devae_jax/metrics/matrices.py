"""What is read off a matrix [latent, factor] of information, importance or accuracy."""

import numpy as np

_TINY = 1e-11  # inside the logarithms, as published


def top_two(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest and second largest of each column; the second of one latent alone is 0."""
    ordered = np.sort(np.concatenate([matrix, np.zeros((1, matrix.shape[1]))]), axis=0)
    return ordered[-1], ordered[-2]


def concentration(matrix: np.ndarray) -> np.ndarray:
    """1 - entropy of each row over its columns, in units of the largest: [R, C] -> [R].

    1 where a row has one entry, 0 where all are equal, or none; 1 if there is one column.
    """
    if matrix.shape[1] == 1:
        return np.ones(len(matrix))
    share = matrix + _TINY
    share = share / share.sum(1, keepdims=True)
    return 1 + (share * np.log(share)).sum(1) / np.log(matrix.shape[1])


def weighted(scores: np.ndarray, matrix: np.ndarray) -> float:
    """Mean of row scores, weighted by the rows' part of the whole matrix."""
    weights = matrix.sum(1)
    return float(np.average(scores, weights=weights if weights.sum() > 0 else None))


def disentanglement(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """Is each latent important to a single factor? The score and its parts [D]."""
    per_latent = concentration(importance)
    return weighted(per_latent, importance), per_latent


def completeness(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """Is each factor held by a single latent? The score and its parts [F]."""
    per_factor = concentration(importance.T)
    return weighted(per_factor, importance.T), per_factor


def top_latents(importance: np.ndarray, most: int) -> np.ndarray:
    """At most `most` latents for each factor, the most disentangled first; sorted."""
    owner, picked = importance.argmax(1), []
    for k in range(importance.shape[1]):
        owned = np.flatnonzero(owner == k)
        best = np.argsort(-concentration(importance[owned]), kind="stable")
        picked.extend(owned[best[:most]].tolist())
    return np.sort(np.array(picked, np.int64))
