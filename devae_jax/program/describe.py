"""What a config says to a reader: conventions of its losses, labels of its layers."""

import math
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from devae_jax.program.specs import roles
from devae_jax.types import ROLES, Dataset


def layer_labels(config: ConfigDict) -> list[str] | None:
    """What distinguishes the layers of a run, ["β=1", "β=10", ...]; None if nothing does."""
    num_layers = config.model.get("num_layers", 1)
    for hyper, value in roles(config, "pressure", "capacity").values():
        if hyper.per_layer and isinstance(value, list | tuple) and len(value) == num_layers:
            return [f"{ROLES[hyper.role]}={number:g}" for number in value]
    return None


def conventions(config: ConfigDict, dataset: Dataset) -> str:
    """What a loss of this run means: reductions, and every pressure with its normalised value.

    The normalised pressure beta D / (H W C) is that of Higgins et al. 2017: it compares runs
    with other image sizes and numbers of latents.
    """
    values, dim = math.prod(dataset.image_shape), config.model.latent_dim
    name = config.method or config.objective.name
    lines = [
        f"{name} on {dataset.name}: {config.objective.likelihood} error summed over the "
        f"{values:,} values of an image, KL summed over {dim} latents, both averaged over the "
        "batch; nats"
    ]
    for path, (_, value) in roles(config, "pressure").items():
        betas = _numbers(value)
        normalised = ", ".join(f"{beta * dim / values:.4g}" for beta in betas)
        shown = ", ".join(f"{beta:g}" for beta in betas)
        lines.append(f"{path} = {shown}; normalised {normalised}")
    return "\n".join(lines)


def _numbers(value: Any) -> list[float]:
    return np.atleast_1d(np.asarray(value, float)).tolist()
