"""What one evaluation looks at: each layer's codes, encoded once, and codes by formula."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax import metrics as m
from devae_jax.data import factors as fg
from devae_jax.encoding import Encode, represent, sampled
from devae_jax.metrics.calibration import FactorSource, noise_code, perfect_code
from devae_jax.metrics.registry import Inputs, Metric
from devae_jax.metrics.table import CodeTable, tabulate
from devae_jax.types import Dataset, FactorGrid

REPRESENTATIONS = ("mean", "sampled")
_BYTES = 1 << 31  # most memory that codes of a whole grid may take
_STD = 0.1  # posterior deviation of the formulas


class Sample(NamedTuple):
    """Grid points of one evaluation seed."""

    seed: int
    train: np.ndarray  # [N]
    test: np.ndarray  # [M]


class View(NamedTuple):
    """One code of the data set: a layer's, or a formula's.

    table, logvar: codes and log-variances of the points that were encoded
    represent, source: as `factor_vae` takes them
    """

    table: CodeTable
    logvar: CodeTable
    represent: Any
    source: Any


def draw_sample(grid: FactorGrid, seed: int, num_train: int, num_test: int) -> Sample:
    """Independent uniform points from RandomState(seed), training first, as published."""
    rng = np.random.RandomState(seed)
    train, test = (m.sample_factors(rng, grid.sizes, n) for n in (num_train, num_test))
    return Sample(seed, *(np.ravel_multi_index(tuple(f.T), grid.sizes) for f in (train, test)))


def code_shape(encode: Encode, dataset: Dataset) -> tuple[int, int]:
    """Layers K and latents D, without running the encoder."""
    image = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.float32)
    num_layers, _, dim = jax.eval_shape(encode, image).mean.shape
    return num_layers, dim


def fits(grid: FactorGrid, num_layers: int, dim: int) -> bool:
    """Whether means and log-variances of the whole grid are small enough to keep."""
    return fg.num_images(grid) * num_layers * dim * 8 < _BYTES


def encoded_views(
    encode: Encode,
    dataset: Dataset,
    points: np.ndarray,
    layers: Sequence[int],
    representations: Sequence[str],
    *,
    seed: int,
    batch_size: int,
    progress: bool,
) -> dict[tuple[int, str], View]:
    """One pass over the images `points` [M], sorted: a view of each layer's codes.

    Sampling metrics look codes up if `points` is the whole grid, else encode what they draw.
    """
    posterior = represent(encode, dataset, points, batch_size=batch_size, progress=progress)
    rng = np.random.RandomState(seed)
    codes = {"mean": np.asarray(posterior.mean)}
    if "sampled" in representations:
        codes["sampled"] = sampled(posterior, rng)

    def on_the_fly(layer: int, name: str) -> Callable[[Any], np.ndarray]:
        def encode_layer(images: Any) -> np.ndarray:
            drawn = jax.device_get(encode(images))
            return (drawn.mean if name == "mean" else sampled(drawn, rng))[layer]

        return encode_layer

    def view(layer: int, name: str) -> View:
        table = CodeTable(codes[name][layer], dataset.grid, points)
        logvar = CodeTable(np.asarray(posterior.logvar[layer]), dataset.grid, points)
        whole = len(points) == fg.num_images(dataset.grid)
        return View(table, logvar, table if whole else on_the_fly(layer, name), dataset)

    return {(layer, name): view(layer, name) for layer in layers for name in representations}


def bounding_views(grid: FactorGrid, dim: int, points: np.ndarray) -> dict[str, View]:
    """The floor, a code of noise, and the ceiling, a perfect code, at the same points."""

    def view(code: Callable[[Any], np.ndarray]) -> View:
        source = FactorSource(grid)
        table = tabulate(code, source, points)
        constant = np.broadcast_to(np.float32(2 * math.log(_STD)), table.codes.shape)
        return View(table, CodeTable(constant, grid, points), code, source)

    return {"floor": view(noise_code(grid, dim)), "ceiling": view(perfect_code(grid, dim))}


def inputs(metric: Metric, view: View, sample: Sample, protocol: str) -> Inputs:
    """What `metric` is given; the whole grid under "exact" if it sums over that."""
    grid, train = view.source.grid, sample.train
    if metric.exact is None:
        protocol = "dlib"
    if protocol == "exact" and metric.exact == "grid":
        train = np.arange(fg.num_images(grid))
    factors, factors_test = (
        np.stack(np.unravel_index(points, grid.sizes), axis=1) for points in (train, sample.test)
    )
    return Inputs(
        codes=view.table.lookup(train),
        logvar=view.logvar.lookup(train),
        factors=factors,
        codes_test=view.table.lookup(sample.test),
        factors_test=factors_test,
        represent=view.represent,
        source=view.source,
        seed=sample.seed,
        protocol=protocol,
    )
