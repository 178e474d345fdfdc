"""Which runs are one and the same: a digest of what decides their numbers."""

import functools
import json
from typing import Any

from devae_jax.program import keys
from devae_jax.training.digests import of_json

# What says when something is written down, where and how it is called, not what is learned.
ASIDE = ("train.", "parallel.", "method", "data.data_dir", "eval.metrics")
KEPT = ("train.non_finite",)
SIZE = 12  # characters: among a million runs two are alike with a chance of 2e-3


def setting(config: Any) -> str:
    """The digest of a run's own config, seed included; the same wherever it is trained.

    It covers the keys whose value is not that of `configs/base.py`. A key that is added there
    means, at its value there, what was done before it, and so changes no digest.
    """
    base = _base()
    flat = keys.flatten(keys.normalised(config))
    decides = {
        key: value
        for key, value in flat.items()
        if (key in KEPT or not key.startswith(ASIDE)) and base.get(key, ...) != value
    }
    text = json.dumps(decides, default=str)
    return of_json(json.loads(text, parse_int=float))[:SIZE]  # 1 is 1.0


@functools.cache
def _base() -> dict[str, Any]:
    from devae_jax.configs import base

    return keys.flatten(keys.normalised(base.get_config()))
