"""What one evaluation looks at: codes of images by number, encoded in one pass, or by formula."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.data.images import batches_of
from devae_jax.data.labels import Labels, labels_of
from devae_jax.metrics.calibration import FactorSource, noise_code, perfect_code
from devae_jax.metrics.draws import sample_factors
from devae_jax.metrics.table import CodeTable
from devae_jax.types import Array, Dataset, Posterior

REPRESENTATIONS = ("mean", "sampled")
_STD = 0.1  # posterior deviation of the formulas


class Coder(NamedTuple):
    """A trained model as evaluation takes it; functions jitted by the caller.

    encode(images [B, H, W, C]) -> Posterior, leaves [K, B, D]
    logits(z [N, D], layer [N] int32) -> logits [N, H, W, C]; None for an encoder alone
    error(logits, images) -> [N], the reconstruction error in nats; None without `logits`
    """

    encode: Callable[[Array], Posterior]
    logits: Callable[[Array, Array], Array] | None = None
    error: Callable[[Array, Array], Array] | None = None


class DivergedError(ValueError):
    """Codes that are no finite numbers."""


class Sample(NamedTuple):
    """The images of one evaluation seed, by number.

    train: [N], what scores are measured on
    test: [M], what predictors are tested on; empty without factors, which nothing predicts
    """

    seed: int
    train: np.ndarray
    test: np.ndarray


class View(NamedTuple):
    """One code of the data set: a layer's, or a formula's.

    numbers: images whose codes are known, ascending, int [M]
    codes, logvar: theirs, [M, D]; log-variances of the posteriors in nats
    represent, source: as `factor_vae` takes them; None without a factor grid
    error(codes [n, D], numbers [n]) -> reconstruction errors, nats [n]; None where nothing decodes
    """

    numbers: np.ndarray
    codes: np.ndarray
    logvar: np.ndarray
    represent: Any = None
    source: Any = None
    error: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Where the codes of these images are."""
        return np.searchsorted(self.numbers, numbers)


def represent(
    coder: Coder,
    dataset: Dataset,
    numbers: np.ndarray,
    *,
    batch_size: int = 1024,
    progress: bool = False,
) -> Posterior:
    """Posteriors of the images with these numbers [N], in one pass. Host leaves [K, N, D].

    All batches have one size, so that the encoder compiles once.

    Raises:
      DivergedError: for NaN or Inf.
    """
    from tqdm import tqdm

    size, hidden = min(batch_size, len(numbers)), None if progress else True
    parts: list[Posterior] = []
    with tqdm(total=len(numbers), desc="encoding", unit="image", disable=hidden) as bar:
        for images, count in batches_of(dataset, numbers, size):
            if parts:  # fetch a batch while the device works on the next one
                parts[-1] = jax.device_get(parts[-1])
            posterior = coder.encode(images)
            parts.append(jax.tree.map(lambda leaf, n=count: leaf[:, :n], posterior))
            bar.update(count)
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *jax.device_get(parts))
    for leaf in (whole.mean, whole.logvar):
        finite = np.isfinite(leaf).all(axis=(0, 1))
        if not finite.all():
            raise DivergedError(
                f"got NaN or Inf in latents {np.flatnonzero(~finite)[:10].tolist()}, expected "
                "finite codes; the encoder diverged, evaluate an earlier checkpoint"
            )
    return whole


def sampled(posterior: Posterior, rng: np.random.RandomState) -> np.ndarray:
    """One sample z of every posterior, [K, N, D]."""
    mean, logvar = np.asarray(posterior.mean), np.asarray(posterior.logvar)
    noise = rng.standard_normal(mean.shape).astype(mean.dtype)
    return mean + np.exp(0.5 * logvar) * noise


def reconstruction(
    coder: Coder, dataset: Dataset, *, batch_size: int = 1024
) -> Callable[[int, np.ndarray, np.ndarray], np.ndarray] | None:
    """(layer, codes [n, D], numbers [n]) -> reconstruction errors [n] in nats.

    All batches have one size, filled up with zeros; the images that were asked for last are
    kept, as those of all layers are the same. None where nothing decodes.
    """
    if coder.logits is None or coder.error is None:
        return None
    logits, error = coder.logits, coder.error

    @functools.lru_cache(maxsize=1)
    def images_of(numbers: bytes, size: int) -> list[tuple[Array, int]]:
        return list(batches_of(dataset, np.frombuffer(numbers, np.int64), size))

    def errors(layer: int, codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        size, parts, start = min(batch_size, len(codes)), [], 0
        for images, count in images_of(numbers.astype(np.int64).tobytes(), size):
            z = np.zeros((size, codes.shape[1]), np.float32)
            z[:count] = codes[start : start + count]
            decoded = logits(jnp.asarray(z), jnp.full(size, layer, jnp.int32))
            parts.append(np.asarray(error(decoded, images))[:count])
            start += count
        return np.concatenate(parts)

    return errors


def code_shape(coder: Coder, dataset: Dataset) -> tuple[int, int]:
    """Layers K and latents D, without running the encoder."""
    image = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.float32)
    num_layers, _, dim = jax.eval_shape(coder.encode, image).mean.shape
    return num_layers, dim


def draw_sample(dataset: Dataset, seed: int, num_train: int, num_test: int) -> Sample:
    """Images from RandomState(seed): points of the grid, independent and uniform, training
    first, as published; without a grid different images, at most all there are. Those of a
    table of factors are split where there are too few, in the ratio that was asked for."""
    rng, grid = np.random.RandomState(seed), dataset.grid
    if grid is None:
        order = rng.permutation(dataset.size)
        if dataset.table is None:
            return Sample(seed, order[:num_train], np.zeros(0, np.int64))
        most = dataset.size * num_train // max(num_train + num_test, 1)
        if dataset.size >= num_train + num_test:
            most = num_train
        return Sample(seed, order[:most], order[most : most + num_test])
    train, test = (
        np.ravel_multi_index(tuple(sample_factors(rng, grid.sizes, n).T), grid.sizes)
        for n in (num_train, num_test)
    )
    return Sample(seed, train, test)


def encoded_views(
    coder: Coder,
    dataset: Dataset,
    numbers: np.ndarray,
    layers: Sequence[int],
    representations: Sequence[str],
    *,
    seed: int,
    batch_size: int,
    progress: bool,
) -> dict[tuple[int, str], View]:
    """One pass over the images `numbers` [M], ascending: a view of each layer's codes.

    Metrics that draw points look them up if `numbers` is the whole grid, else encode them.
    """
    posterior = represent(coder, dataset, numbers, batch_size=batch_size, progress=progress)
    rng, grid = np.random.RandomState(seed), dataset.grid
    codes = {"mean": np.asarray(posterior.mean)}
    if "sampled" in representations:
        codes["sampled"] = sampled(posterior, rng)
    errors = reconstruction(coder, dataset, batch_size=batch_size)

    def on_the_fly(layer: int, name: str) -> Callable[[Any], np.ndarray]:
        def encode_layer(images: Any) -> np.ndarray:
            drawn = jax.device_get(coder.encode(images))
            return (drawn.mean if name == "mean" else sampled(drawn, rng))[layer]

        return encode_layer

    def view(layer: int, name: str) -> View:
        table: Any = None
        if grid is not None and len(numbers) == dataset.size:
            table = CodeTable(codes[name][layer], grid)
        elif grid is not None:
            table = on_the_fly(layer, name)
        return View(
            numbers=numbers,
            codes=codes[name][layer],
            logvar=np.asarray(posterior.logvar[layer]),
            represent=table,
            source=None if grid is None else dataset,
            error=None if errors is None else functools.partial(errors, layer),
        )

    return {(layer, name): view(layer, name) for layer in layers for name in representations}


def bounding_views(dataset: Dataset, dim: int, numbers: np.ndarray) -> dict[str, View]:
    """The floor, a code of noise, and the ceiling, a perfect code, of the same images.

    None of them for data without factors.
    """
    labels = labels_of(dataset)
    if labels is None:
        return {}
    if labels.grid is None:
        noise, perfect = _table_codes(labels, dim, numbers)
        return {"floor": _formula(numbers, noise), "ceiling": _formula(numbers, perfect)}
    grid, ignored = labels.grid, dataset.nuisance
    source = FactorSource(grid, nuisance=ignored)
    factors = np.stack(np.unravel_index(numbers, grid.sizes), 1)
    codes = {"floor": noise_code(grid, dim), "ceiling": perfect_code(grid, dim, ignored)}
    return {
        bound: _formula(numbers, code(factors))._replace(represent=code, source=source)
        for bound, code in codes.items()
    }


def _formula(numbers: np.ndarray, codes: np.ndarray) -> View:
    logvar = np.broadcast_to(np.float32(2 * math.log(_STD)), codes.shape)
    return View(numbers, codes, logvar)


def _table_codes(labels: Labels, dim: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and the factors themselves, standardised: [N, D] each; further latents are dead."""
    noise = np.random.RandomState(0).standard_normal((len(numbers), dim)).astype(np.float32)
    values, codes = labels.of(numbers)[:, :dim], 1e-3 * noise
    deviation = values.std(0)
    codes[:, : values.shape[1]] = (values - values.mean(0)) / np.where(deviation, deviation, 1.0)
    return noise, codes
