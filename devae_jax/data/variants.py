"""The variants of a data set that the field uses: data set in, data set out.

What is random about an image (its colour, noise, hidden factor) depends on its index
and a seed alone, so every image stays the same image in training and evaluation.
Training distributions (`draw`) are random in the key of the batch.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax import rng
from devae_jax.data import factors as fg
from devae_jax.data.batches import grid_of
from devae_jax.data.images import numbers_of
from devae_jax.data.ondevice import mix
from devae_jax.types import Array, Dataset, FactorGrid


def hide(dataset: Dataset, factor: str, *, seed: int = 0) -> Dataset:
    """`factor` still varies, at random, but is no longer a factor of the grid.

    `hide(dsprites, "shape")` is the noshape variant of Locatello et al. 2019.
    Raises ValueError for an unknown factor, or if no other is left.
    """
    whole = grid_of(dataset, f"the factor {factor!r} to hide")
    column = fg.factor_number(whole, factor)
    if len(whole.names) == 1:
        raise ValueError(f"got factor {factor!r} to hide, expected another one to be left")
    left = FactorGrid(*(tuple(np.delete(field, column).tolist()) for field in whole))
    observe_whole = _observer(dataset)

    def observe(arrays: Any, factors: Array) -> Array:
        draw = lambda key: jax.random.randint(key, (), 0, whole.sizes[column])  # noqa: E731
        hidden = jax.vmap(draw)(_image_keys(fg.to_index(left, factors), seed, "hidden factor"))
        return observe_whole(arrays, jnp.insert(factors, column, hidden, axis=1))

    variant = _variant(dataset, f"no{factor}", seed)
    return variant._replace(grid=left, size=fg.num_images(left), observe=observe)


def colour(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Grey sprites in a random colour, each channel in [0.5, 1] (Locatello et al. 2019)."""

    def paint(key: Array, image: Array) -> Array:
        return image * jax.random.uniform(key, (1, 1, 3), minval=0.5)

    return _painted(dataset, "color", paint, seed)


def noisy(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """White sprites on uniform noise in three channels (Locatello et al. 2019)."""

    def paint(key: Array, image: Array) -> Array:
        # A hash of the place: twelve thousand threefry numbers an image would take longer
        # than training on it.
        place = jnp.arange(3 * image.size, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
        first, second = jax.random.bits(key, (2,))
        bits = mix(mix(place + first) ^ second)
        noise = (bits >> 8).astype(jnp.float32) / 2**24
        return jnp.minimum(image + noise.reshape(*image.shape[:2], 3), 1)

    return _painted(dataset, "noisy", paint, seed)


def scream(dataset: Dataset, picture: np.ndarray, *, seed: int = 0) -> Dataset:
    """Sprites that invert a random crop of the user's picture, tinted (Locatello et al. 2019).

    picture: [h, w, 3] in [0, 1], at least as large as the images
    Raises ValueError otherwise.
    """
    height, width, _ = dataset.image_shape
    picture = np.asarray(picture, np.float32)
    fits = picture.ndim == 3 and picture.shape[0] >= height and picture.shape[1] >= width
    if not fits or picture.shape[2] != 3 or picture.min() < 0 or picture.max() > 1:
        raise ValueError(
            f"got a picture of shape {list(picture.shape)} with values in [{picture.min()}, "
            f"{picture.max()}], expected at least [{height}, {width}, 3] in [0, 1]; resize it "
            "or divide it by 255"
        )
    room = (picture.shape[0] - height + 1, picture.shape[1] - width + 1)

    def paint(key: Array, image: Array) -> Array:
        corner, tint = jax.random.split(key)
        top, left = jax.random.randint(corner, (2,), 0, jnp.asarray(room))
        crop = jax.lax.dynamic_slice(jnp.asarray(picture), (top, left, 0), (height, width, 3))
        ground = (crop + jax.random.uniform(tint, (1, 1, 3))) / 2
        return jnp.where(image > 0, image * (1 - ground) + (1 - image) * ground, ground)

    variant = _painted(dataset, "scream", paint, seed)
    note = {"picture": hashlib.sha256(picture.tobytes()).hexdigest()}
    return variant._replace(identity={**variant.identity, **note})


def correlated(dataset: Dataset, first: str, second: str, sigma: float) -> Dataset:
    """Training draws two factors together: p ~ exp(-(a - b)² / 2 sigma²) (Träuble et al. 2021).

    a, b: the factors' values scaled to [0, 1]; other factors stay uniform, and the
    grid, for evaluation, whole
    Raises ValueError for unknown or equal factors, or sigma not positive.
    """
    grid = grid_of(dataset, "data.correlated")
    columns = [fg.factor_number(grid, name) for name in (first, second)]
    if first == second or not sigma > 0:
        raise ValueError(
            f"got factors {first!r}, {second!r} and sigma={sigma}, expected two factors and "
            "sigma > 0"
        )
    sizes = [grid.sizes[c] for c in columns]
    a, b = (np.linspace(0, 1, size) for size in sizes)
    logits = jnp.asarray(-((a[:, None] - b) ** 2) / (2 * sigma**2), jnp.float32).reshape(-1)

    def draw(arrays: Any, key: Array, n: int) -> Array:
        del arrays
        others, pair = jax.random.split(key)
        values = jnp.divmod(jax.random.categorical(pair, logits, shape=(n,)), sizes[1])
        return fg.sample(grid, others, n).at[:, jnp.asarray(columns)].set(jnp.stack(values, -1))

    note = {"correlated": [first, second, float(sigma)]}
    return dataset._replace(draw=draw, identity={**dataset.identity, **note})


def hold_out(dataset: Dataset, factors: Mapping[str, Sequence[int]]) -> Dataset:
    """Training never draws the images that have all of these values.

    `{"shape": [0], "x_position": [16, 17]}` keeps squares, and these positions, but
    not squares at these positions. The grid, for evaluation, stays whole.
    Raises ValueError for an unknown factor or value, or if nothing is left to train on.
    """
    grid, observe = grid_of(dataset, "data.held_out"), _observer(dataset)
    out = np.zeros(grid.sizes, bool)
    out[np.ix_(*fg.select(grid, factors))] = True
    if out.all():
        raise ValueError(
            f"got held-out values {dict(factors)}, expected some images left to train on; "
            "hold out fewer values"
        )
    rows = jnp.asarray(np.flatnonzero(~out), jnp.int32)

    def draw(arrays: Any, key: Array, n: int) -> Array:
        _, kept = arrays
        return fg.from_index(grid, jax.random.choice(key, kept, (n,)))

    note = {"held_out": {name: sorted(values) for name, values in factors.items()}}
    return dataset._replace(
        arrays=(dataset.arrays, rows),
        observe=lambda arrays, factors: observe(arrays[0], factors),
        draw=draw,
        identity={**dataset.identity, **note},
    )


def _painted(
    dataset: Dataset, suffix: str, paint: Callable[[Array, Array], Array], seed: int
) -> Dataset:
    """`paint(key, image [H, W, 1]) -> [H, W, 3]` on every image, with the image's own key."""
    if dataset.image_shape[2] != 1:
        raise ValueError(
            f"got {dataset.name!r} with {dataset.image_shape[2]} channels, expected grey images; "
            "use a dSprites data set"
        )

    observe_grey = _observer(dataset)

    def observe(arrays: Any, points: Array) -> Array:
        keys = _image_keys(numbers_of(dataset, points), seed, suffix)
        return jax.vmap(paint)(keys, observe_grey(arrays, points))

    shape = (*dataset.image_shape[:2], 3)
    variant = _variant(dataset, suffix, seed)
    identity = {**variant.identity, "image_shape": list(shape)}
    return variant._replace(image_shape=shape, observe=observe, identity=identity)


def _observer(dataset: Dataset) -> Callable[..., Array]:
    if dataset.observe is None:
        raise ValueError(
            f"got {dataset.name!r}, whose images are read on the host, expected images made on "
            "the device; take another data set"
        )
    return dataset.observe


def _image_keys(numbers: Array, seed: int, name: str) -> Array:
    key = rng.stream(rng.seed(seed), name)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)


def _variant(dataset: Dataset, suffix: str, seed: int) -> Dataset:
    name = f"{dataset.name}_{suffix}"
    return dataset._replace(
        name=name, identity={**dataset.identity, "name": name, "variant_seed": seed}
    )
