"""Whether the latents are used: active units."""

from typing import Any

import numpy as np

from devae_jax.metrics.inputs import check_codes


def active_units(mean: Any, threshold: float = 0.01) -> dict[str, Any]:
    """Latents whose mean moves with the image: variance of E[z|x] above `threshold`.

    Returns:
      active_units, variance [D], active [D].

    Source: Burda et al. 2016, "Importance weighted autoencoders", section 5.2.
    """
    mean = check_codes(mean)
    variance = mean.var(0, dtype=np.float64)
    active = variance > threshold
    return {
        "active_units": int(active.sum()),
        "variance": variance,
        "active": active,
        "protocol": "paper",
        "num_samples": len(mean),
    }
