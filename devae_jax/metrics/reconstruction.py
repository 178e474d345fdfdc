"""How far decoded images are from the images that were encoded."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.inputs import check_codes

MOST = 2_000  # images that are decoded
Error = Callable[[np.ndarray], np.ndarray]  # codes [n, D] of the first images -> nats [n]


def reconstruction_sampled(
    mean: Any, logvar: Any, error: Error, key: int | jax.Array = 0
) -> dict[str, Any]:
    """Reconstruction error of codes drawn from the posterior, one an image, nats.

    With the mean KL it makes the negative ELBO. The first 2,000 images are decoded.

    Args:
      mean, logvar: [N, D], log-variance in nats.
      error: codes [n, D] of the first n images -> their reconstruction errors, nats [n].

    Returns:
      reconstruction_sampled.

    Raises:
      ValueError: for NaN, or two shapes.
    """
    mean, logvar = check_codes(mean)[:MOST], check_codes(logvar)[:MOST]
    if mean.shape != logvar.shape:
        raise ValueError(
            f"got mean {mean.shape} and logvar {logvar.shape}, expected equal; pass both of the "
            "same posterior"
        )
    noise = numpy_rng(key).standard_normal(mean.shape).astype(mean.dtype)
    return _result("reconstruction_sampled", error(mean + np.exp(0.5 * logvar) * noise))


def reconstruction_mean(mean: Any, error: Error) -> dict[str, Any]:
    """Reconstruction error of mean codes, nats; below that of sampled ones in a trained model.

    Args, Returns and Raises: as `reconstruction_sampled`.
    """
    return _result("reconstruction_mean", error(check_codes(mean)[:MOST]))


def _result(name: str, errors: np.ndarray) -> dict[str, Any]:
    return {
        name: float(np.mean(errors, dtype=np.float64)),
        "protocol": "formula",
        "num_samples": len(errors),
    }
