"""Optimisers: one Adam for each player, frozen parameters masked.

A player is a top-level entry of the parameters (the model, a discriminator, a
critic). `optax.partition` gives each its own optimiser and leaves one backward
pass for all.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from devae_jax.types import Array, Decay, Duration, Positive


def adam(
    step: Array,
    *,
    learning_rate: Positive = 1e-4,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    warmup_steps: Duration = 0.0,
    decay_steps: Duration = 0.0,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), every number of which may be traced.

    The rate at `step` of the run, whether or not this player moved in all of them: it rises
    linearly over `warmup_steps` and falls to zero along a cosine over `decay_steps`; 0 switches
    either off.
    """
    warmup = jnp.minimum(1.0, (step + 1.0) / jnp.maximum(warmup_steps, 1.0))
    progress = jnp.minimum(1.0, step / jnp.maximum(decay_steps, 1.0))
    cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    rate = learning_rate * warmup * jnp.where(jnp.asarray(decay_steps) > 0, cosine, 1.0)
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps), optax.scale_by_learning_rate(rate)
    )


def optimizer(
    mask: Mapping[str, Any],
    step: Array,
    default: Mapping[str, Any],
    players: Mapping[str, Mapping[str, Any]],
) -> optax.GradientTransformationExtraArgs:
    """One Adam a player, and one a group that can be frozen.

    Args:
      mask: `objective.trainable(params, step)` at the `step` to be taken. A group marked by a
        Python number always moves; one marked by an array has an optimiser of its own, so
        that while it is frozen neither its parameters nor its moments change (a zero
        gradient alone would not do: Adam moves on by its momentum).
      default: hyperparameters of `adam` for every player.
      players: player -> hyperparameters that differ from `default`.
    """
    transforms = {}
    for path, moves in jax.tree.leaves_with_path(mask):
        transform = adam(step, **{**default, **players.get(path[0].key, {})})
        if isinstance(moves, jax.Array):
            transform = optax.conditionally_mask(transform, lambda _, moves=moves: moves > 0)
        transforms[jax.tree_util.keystr(path)] = transform
    labels = jax.tree.map_with_path(lambda path, _: jax.tree_util.keystr(path), mask)
    return optax.partition(transforms, labels)
