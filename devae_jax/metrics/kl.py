"""What the latents cost: KL of the posterior to the prior."""

from typing import Any

import numpy as np

from devae_jax.metrics.inputs import check_codes


def kl(mean: Any, logvar: Any) -> dict[str, Any]:
    """KL(q(z|x) || N(0, I)) of a diagonal Gaussian posterior, averaged over samples.

    Args:
      mean, logvar: [N, D], log-variance in nats.

    Returns:
      kl in nats, per_latent [D].

    Raises:
      ValueError: for NaN, or two shapes.
    """
    mean = check_codes(mean).astype(np.float64)
    logvar = check_codes(logvar).astype(np.float64)
    if mean.shape != logvar.shape:
        raise ValueError(
            f"got mean {mean.shape} and logvar {logvar.shape}, expected equal; pass both of the "
            "same posterior"
        )
    per_latent = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).mean(0)
    return {
        "kl": float(per_latent.sum()),
        "per_latent": per_latent,
        "protocol": "formula",
        "num_samples": len(mean),
    }
