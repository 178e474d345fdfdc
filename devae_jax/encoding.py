"""One pass of a data set's images through a model, in large batches on the device."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.data import factors as fg
from devae_jax.names import unknown
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import Array, Dataset, FactorGrid, Posterior

Encode = Callable[[Array], Posterior]  # images [B, H, W, C] -> leaves [K, B, D]
Decode = Callable[[Array, Array], Array]  # z [N, D], layer [N] -> logits [N, H, W, C]
Likelihood = str | Callable[[Array, Array], Array]  # logits, images -> [N] nats


def represent(
    encode: Encode,
    dataset: Dataset,
    index: np.ndarray,
    *,
    batch_size: int = 1024,
    progress: bool = False,
) -> Posterior:
    """Posteriors of the images numbered `index` [N], in one pass. Host leaves [K, N, D].

    encode: jitted by the caller, parameters bound as arguments. All batches have one size,
    so it compiles once.
    """
    batches: list[Posterior] = []
    for images, count in _batches(dataset, index, batch_size, "encoding" if progress else None):
        if batches:  # fetch a batch while the device works on the next one
            batches[-1] = jax.device_get(batches[-1])
        posterior = encode(images)
        batches.append(jax.tree.map(lambda leaf, n=count: leaf[:, :n], posterior))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *jax.device_get(batches))


def reconstruction(
    decode: Decode,
    dataset: Dataset,
    index: np.ndarray,
    z: np.ndarray,
    *,
    layers: Sequence[int] | None = None,
    likelihood: Likelihood = "bernoulli",
    batch_size: int = 1024,
    progress: bool = False,
) -> np.ndarray:
    """Reconstruction error of every image from the code of each layer: nats, [L, N].

    z [L, N, D] holds the codes of `layers`, default all: 0 .. L - 1.
    """
    if isinstance(likelihood, str):
        if likelihood not in LIKELIHOODS:
            raise unknown("likelihood", likelihood, LIKELIHOODS)
        likelihood = LIKELIHOODS[likelihood]
    error = jax.jit(likelihood)
    errors = np.empty(z.shape[:2], np.float64)
    start = 0
    for images, count in _batches(dataset, index, batch_size, "decoding" if progress else None):
        for i, layer in enumerate(layers or range(len(z))):
            code = np.zeros((len(images), z.shape[2]), np.float32)
            code[:count] = z[i, start : start + count]
            logits = decode(jnp.asarray(code), jnp.full(len(images), layer, jnp.int32))
            errors[i, start : start + count] = np.asarray(error(logits, images))[:count]
        start += count
    return errors


def sampled(posterior: Posterior, rng: np.random.RandomState) -> np.ndarray:
    """One sample z of every posterior, [K, N, D]."""
    mean, logvar = np.asarray(posterior.mean), np.asarray(posterior.logvar)
    noise = rng.standard_normal(mean.shape).astype(mean.dtype)
    return mean + np.exp(0.5 * logvar) * noise


def _batches(
    dataset: Dataset, index: np.ndarray, batch_size: int, told: str | None
) -> Iterator[tuple[Array, int]]:
    """Images by number, in batches of one size, and how many of each batch are wanted."""
    from tqdm import tqdm

    batch_size = min(batch_size, len(index))
    with tqdm(total=len(index), desc=told, unit="image", disable=None if told else True) as bar:
        for start in range(0, len(index), batch_size):
            part = index[start : start + batch_size]
            padded = np.resize(part, batch_size).astype(np.int32)
            rows = jnp.asarray(padded)
            yield _observe(dataset.observe, dataset.grid, dataset.arrays, rows), len(part)
            bar.update(len(part))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _observe(observe: Callable[..., Array], grid: FactorGrid, arrays: Any, rows: Array) -> Array:
    return observe(arrays, fg.from_index(grid, rows))
