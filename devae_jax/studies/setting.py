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
    decides = {k: value for k, value in deciding(config).items() if base.get(k, ...) != value}
    text = json.dumps(decides, default=str)
    return of_json(json.loads(text, parse_int=float))[:SIZE]  # 1 is 1.0


def deciding(config: Any) -> dict[str, Any]:
    """The keys of a config that decide a run's numbers, with their values."""
    flat = keys.flatten(keys.normalised(config))
    return {k: value for k, value in flat.items() if k in KEPT or not k.startswith(ASIDE)}


@functools.cache
def _base() -> dict[str, Any]:
    from devae_jax.configs import base

    return keys.flatten(keys.normalised(base.get_config()))
