"""From an encoder to scores: images are encoded once and every metric shares the codes.

posterior = represent(encode, dataset, index)     one pass over the images
rows = evaluate(encode, dataset, decode=decode)   all scores of all layers
print(table(rows))
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax import metrics
from devae_jax.data import factors as fg
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import Array, Dataset, Posterior

Encode = Callable[[Array], Posterior]  # images [B, H, W, C] -> leaves [K, B, D]
Decode = Callable[[Array, Array], Array]  # z [N, D], layer [N] -> logits [N, H, W, C]


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
    likelihood: str | Callable[[Array, Array], Array] = "bernoulli",
    batch_size: int = 1024,
    progress: bool = False,
) -> np.ndarray:
    """Reconstruction error of every image from every layer's code z [K, N, D]: nats, [K, N]."""
    if isinstance(likelihood, str):
        if likelihood not in LIKELIHOODS:
            raise fg.unknown("likelihood", likelihood, LIKELIHOODS)
        likelihood = LIKELIHOODS[likelihood]
    error = jax.jit(likelihood)
    errors = np.empty(z.shape[:2], np.float64)
    start = 0
    for images, count in _batches(dataset, index, batch_size, "decoding" if progress else None):
        for i, layer in enumerate(z):
            code = np.zeros((len(images), z.shape[2]), np.float32)
            code[:count] = layer[start : start + count]
            logits = decode(jnp.asarray(code), jnp.full(len(images), i, jnp.int32))
            errors[i, start : start + count] = np.asarray(error(logits, images))[:count]
        start += count
    return errors


def _batches(
    dataset: Dataset, index: np.ndarray, batch_size: int, told: str | None
) -> Iterator[tuple[Array, int]]:
    """Images by number, in batches of one size, and how many of each batch are wanted."""
    from tqdm import tqdm

    observe = jax.jit(lambda arrays, row: dataset.observe(arrays, fg.from_index(dataset.grid, row)))
    batch_size = min(batch_size, len(index))
    with tqdm(total=len(index), desc=told, unit="image", disable=told is None) as bar:
        for start in range(0, len(index), batch_size):
            part = index[start : start + batch_size]
            padded = np.resize(part, batch_size).astype(np.int32)
            yield observe(dataset.arrays, jnp.asarray(padded)), len(part)
            bar.update(len(part))


def sampled(posterior: Posterior, rng: np.random.RandomState) -> np.ndarray:
    """One sample z of every posterior, [K, N, D]."""
    mean, logvar = np.asarray(posterior.mean), np.asarray(posterior.logvar)
    noise = rng.standard_normal(mean.shape).astype(mean.dtype)
    return mean + np.exp(0.5 * logvar) * noise


def cheap(
    encode: Encode,
    decode: Decode,
    dataset: Dataset,
    key: int | Array,
    *,
    n: int = 10_000,
    num_decoded: int = 1_000,
    likelihood: str | Callable[[Array, Array], Array] = "bernoulli",
    batch_size: int = 1024,
) -> dict[str, np.ndarray]:
    """What is worth knowing during training, about a second beyond encoding `n` images.

    Returns arrays with one entry a layer: mig, diffusion, kl, active_units and
    reconstruction [K] (of `num_decoded` images from sampled codes), kl_per_latent [K, D],
    mi [K, D, F]; information in nats.
    """
    rng = metrics.numpy_rng(key)
    grid = dataset.grid
    factors = np.stack([rng.randint(size, size=n) for size in grid.sizes], axis=1)
    index = np.ravel_multi_index(tuple(factors.T), grid.sizes)
    posterior = represent(encode, dataset, index, batch_size=batch_size)
    gaps = [metrics.mig(mean, factors) for mean in posterior.mean]
    costs = [metrics.kl(*leaves) for leaves in zip(posterior.mean, posterior.logvar, strict=True)]
    errors = reconstruction(
        decode,
        dataset,
        index[:num_decoded],
        sampled(posterior, rng)[:, :num_decoded],
        likelihood=likelihood,
        batch_size=batch_size,
    )
    return {
        "mig": np.array([gap["mig"] for gap in gaps]),
        "mi": np.stack([gap["mi"] for gap in gaps]),
        "diffusion": np.array([metrics.diffusion(m, factors)["diffusion"] for m in posterior.mean]),
        "kl": np.array([cost["kl"] for cost in costs]),
        "kl_per_latent": np.stack([cost["per_latent"] for cost in costs]),
        "active_units": np.array([metrics.active_units(m)["active_units"] for m in posterior.mean]),
        "reconstruction": errors.mean(1),
    }
