"""Trees with a leading member axis."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

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
