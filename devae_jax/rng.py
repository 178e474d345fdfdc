"""Randomness as a function of (seed, name, step): resuming a run is then free.

No other module makes a key. A stream is `fold_in(key, crc32(name))`,
a step's key folds the step in as well, so no key is ever advanced or saved.
"""

import zlib

import jax
from jax import Array


def seed(value: int | Array) -> Array:
    """The root key of a run; `value` may be traced (a sweep over seeds)."""
    return jax.random.key(value)


def stream(key: Array, name: str, step: Array | int | None = None) -> Array:
    """The key of a named stream, at one step if given. Names never collide in practice."""
    key = jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)
    return key if step is None else jax.random.fold_in(key, step)
