"""Numbers as pure functions of the step, so that resuming a run is free.

All arguments may be traced; lengths of 0 mean "from the start".
"""

import jax.numpy as jnp

from devae_jax.types import Array, Number


def linear(step: Array, *, start: Number, end: Number, steps: Number) -> Array:
    """From `start` to `end` along a line over `steps`, then constant."""
    return start + (end - start) * _progress(step, steps)


def exponential(step: Array, *, end: Number, temperature: Number, steps: Number) -> Array:
    """end * exp(-temperature * (1 - t)), t from 0 to 1 over `steps`, then constant."""
    return end * jnp.exp(-temperature * (1.0 - _progress(step, steps)))


def stage(step: Array, *, interval: Number) -> Array:
    """Number of whole intervals gone by, int32. An interval below one step counts as one."""
    return jnp.asarray(step, jnp.int32) // whole(interval)


def staircase(
    step: Array, *, start: Number, end: Number, steps: Number, interval: Number, ramp: Number
) -> Array:
    """From `start` to `end` in steps // interval equal stairs, one after each interval.

    Each stair rises along a line over the first `ramp` steps of its interval (1: at once).
    """
    stairs = jnp.maximum(whole(steps) // whole(interval), 1)
    within = jnp.asarray(step, jnp.int32) % whole(interval) + 1
    risen = stage(step, interval=interval) - 1 + jnp.minimum(within / jnp.maximum(ramp, 1.0), 1.0)
    return start + (end - start) * jnp.clip(risen / stairs, 0.0, 1.0)


def whole(number: Number) -> Array:
    """At least one, rounded to int32: step counts divide exactly only as integers."""
    return jnp.maximum(jnp.round(jnp.asarray(number)).astype(jnp.int32), 1)


def _progress(step: Array, steps: Number) -> Array:
    """0 at step 0, 1 from step `steps` on."""
    done = jnp.asarray(step) >= steps
    return jnp.where(done, 1.0, jnp.maximum(step, 0) / jnp.maximum(steps, 1.0))
