"""Harder regimes for any data set: noise, nuisance factors, imbalance, images out of distribution.

Each changes what training sees or what is counted; the images of the data set stay what they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax import rng
from devae_jax.data import factors as fg
from devae_jax.data.batches import grid_of, observer
from devae_jax.data.ondevice import mix
from devae_jax.names import lookup, unknown
from devae_jax.types import Array, Batch, Dataset, FactorTable, Shard, Source

PARTS = ("all", "trained", "held_out")  # of the images, see `part`


def imbalanced(dataset: Dataset, weights: Mapping[str, Sequence[float]]) -> Dataset:
    """Training draws each of these factors with weights of its values, {"shape": (8, 1, 1)}.

    Factors stay independent, the others uniform, and the grid, for evaluation, whole.
    Raises ValueError for an unknown factor, and unless there is one weight a value, at least 0
    and two of them above.
    """
    grid = grid_of(dataset, "data.imbalanced")
    logits = {}
    for name, given in weights.items():
        column = fg.factor_number(grid, name)
        shares = np.asarray(given, np.float64)
        fits = shares.shape == (grid.sizes[column],) and np.isfinite(shares).all()
        if not fits or (shares < 0).any() or (shares > 0).sum() < 2:
            raise ValueError(
                f"got weights {given!r} of factor {name!r}, expected {grid.sizes[column]} numbers, "
                "at least 0 and two of them above; fix data.imbalanced"
            )
        with np.errstate(divide="ignore"):
            logits[column] = jnp.asarray(np.log(shares / shares.sum()), jnp.float32)

    def draw(arrays: Any, key: Array, n: int) -> Array:
        del arrays
        others, chosen = jax.random.split(key)
        points = fg.sample(grid, others, n)
        for column, shares in logits.items():
            values = jax.random.categorical(jax.random.fold_in(chosen, column), shares, shape=(n,))
            points = points.at[:, column].set(values)
        return points

    note = {"imbalanced": {name: [float(w) for w in given] for name, given in weights.items()}}
    return dataset._replace(draw=draw, identity={**dataset.identity, **note})


def with_nuisance(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """These factors vary, in training and evaluation, but metrics do not count them.

    Raises ValueError for a data set without factors, an unknown factor, one named twice, or if
    no other is left.
    """
    truth = dataset.grid or dataset.table
    if truth is None:
        grid_of(dataset, "data.nuisance")  # refuses
    known = () if truth is None else truth.names
    for name in names:
        if name not in known:
            raise unknown("data.nuisance", name, known)
    if len(set(names)) < len(names) or len(names) == len(known):
        raise ValueError(
            f"got data.nuisance={tuple(names)!r}, expected different factors, and one to be left "
            f"of {', '.join(known)}; name fewer"
        )
    note = {"nuisance": list(names)}
    return dataset._replace(nuisance=tuple(names), identity={**dataset.identity, **note})


def with_noise(dataset: Dataset, deviation: float) -> Dataset:
    """Training batches get noise of this standard deviation, see `noisy`; 0: none."""
    if deviation < 0:
        raise ValueError(f"got data.noise={deviation}, expected 0 or more; fix it")
    if not deviation:
        return dataset
    note = {"noise": float(deviation)}
    return dataset._replace(noise=float(deviation), identity={**dataset.identity, **note})


def noisy(source: Source, deviation: float) -> Source:
    """The images of every batch with Gaussian noise, cut to [0, 1]; 0: the source itself.

    The noise of an image depends on the key, the step, and its place in the global batch: every
    device count sees the same.
    """
    if not deviation:
        return source

    def take(arrays: Any, key: Array, step: Array, shard: Shard = Shard()) -> Batch:  # noqa: B008
        batch = dict(source.take(arrays, key, step, shard))
        for name, leaf in batch.items():
            if leaf.ndim >= 4:  # images
                places = shard.position * len(leaf) + jnp.arange(len(leaf))
                drawn = _gaussian(rng.stream(key, f"noise of {name}", step), places, leaf.shape[1:])
                batch[name] = jnp.clip(leaf + deviation * drawn, 0, 1)
        return batch

    return source._replace(take=take)


def _gaussian(key: Array, rows: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers [N, *shape], each row by its number: a hash of the place.

    As many threefry numbers would take longer than training on them.
    """
    first, second = jax.random.bits(key, (2,))
    place = jnp.arange(np.prod(shape), dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    salts = mix(rows.astype(jnp.uint32) + first)
    bits = mix(mix(place[None] ^ salts[:, None]) + second)
    uniform = ((bits >> 8).astype(jnp.float32) + 0.5) / 2**24
    normal = jnp.sqrt(2.0) * jax.lax.erf_inv(2 * uniform - 1)
    return normal.reshape(len(rows), *shape)


def part(dataset: Dataset, images: str) -> Dataset:
    """The images that training saw ("trained") or did not see ("held_out"); "all" of them.

    Combinations that are held out are a full grid of the values that they have, the others a
    table.
    Raises ValueError for another word, and where none are held out.
    """
    lookup(dict.fromkeys(PARTS), images, "images")
    if images == "all":
        return dataset
    held = dataset.identity.get("held_out")
    if held is None:
        raise ValueError(
            f"got images={images!r} of {dataset.name!r}, which was trained on all combinations of "
            "factors, expected a run with data.held_out; take images='all'"
        )
    grid, observe = grid_of(dataset, "data.held_out"), observer(dataset, "ondevice")
    if images == "held_out":
        kept = fg.subset(grid, held)
        return dataset._replace(
            size=fg.num_images(kept.grid),
            grid=kept.grid,
            observe=lambda arrays, points: observe(arrays, kept.native(points)),
            draw=None,
            nuisance=tuple(name for name in dataset.nuisance if name in kept.grid.names),
        )
    out = np.zeros(grid.sizes, bool)
    out[np.ix_(*fg.select(grid, held))] = True
    numbers = np.flatnonzero(~out)
    values = np.stack(np.unravel_index(numbers, grid.sizes), 1).astype(np.float64)
    return dataset._replace(
        size=len(numbers),
        grid=None,
        table=FactorTable(grid.names, values, (False,) * len(grid.names)),
        arrays=(dataset.arrays, jnp.asarray(numbers, jnp.int32)),
        observe=lambda arrays, rows: observe(arrays[0], fg.from_index(grid, arrays[1][rows])),
        draw=None,
    )
