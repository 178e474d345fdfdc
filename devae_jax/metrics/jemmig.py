"""Joint entropy minus mutual information gap: JEMMIG, of binned codes."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import spread
from devae_jax.metrics.matrices import top_two


def jemmig(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Joint entropy minus mutual information gap, on binned codes, as a score in [0, 1].

    jemmig = mean_k 1 - (H(z_1, y_k) - I(z_1; y_k) + I(z_2; y_k)) / (H(y_k) + log bins): besides
    MIG's gap it asks that z_1 hold nothing but factor k. See `rmig` for the form on posteriors.

    Returns:
      jemmig, per_factor [F] (NaN for a one-valued factor), mi [D, F] in nats.

    Source: Do & Tran 2020, "Theory and evaluation metrics for learning disentangled
    representations", section 4.3.
    """
    info, labels, facts = measure(codes, factors, protocol, bins, "binned")
    first, second = top_two(info.mi)
    joint = info.codes[info.mi.argmax(0)] + info.factors - first
    scores = 1 - (joint - first + second) / (info.factors + np.log(facts["bins"]))
    varying = labels.varying
    return {
        "jemmig": float(scores[varying].mean()),
        "per_factor": spread(scores[varying], varying, len(scores)),
        "mi": info.mi,
        **facts,
    }
