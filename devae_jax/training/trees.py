"""Trees with a leading axis: of members, or of steps."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree

from devae_jax.training.step import Hparams


def stack(hparams: Sequence[Hparams]) -> Hparams:
    """One set of numbers with a leading member axis from those of M members."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *hparams)


def part(tree: Any, index: Any) -> Any:
    """One member of anything stacked: state, hyperparameters, metrics."""

    def take(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # As numbers: JAX's key-reuse checker counts the slice of a key as its use.
            return jax.random.wrap_key_data(jax.random.key_data(leaf)[index])
        return leaf[index]

    return jax.tree.map(take, tree)


def scan(step: Callable[[Any, None], tuple[Any, Any]], state: Any, length: int) -> tuple[Any, Any]:
    """`jax.lax.scan` of a step without inputs; its outputs are one vector inside the loop.

    Each array of outputs would be written by a kernel of its own.
    """
    shapes = jax.eval_shape(step, state, None)[1]
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))

    def packed(state: Any, _: None) -> tuple[Any, Any]:
        state, outputs = step(state, None)
        return state, ravel_pytree(outputs)[0]

    state, rows = jax.lax.scan(packed, state, length=length)
    return state, jax.vmap(unravel)(rows)


def fetch(metrics: Any) -> Any:
    """Metrics on the host, in one transfer; gathered where other processes have members."""
    leaves = jax.tree.leaves(metrics)
    if all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in leaves):
        return jax.device_get(metrics)
    return multihost_utils.process_allgather(metrics, tiled=True)
