"""Frames of a scene that moves: weak supervision from time, drawn on the device.

"laplace" is after Klindt et al. 2021, "Towards nonlinear disentanglement in natural data with
temporal sparse coding", arXiv:2007.10930: most factors stay, or change little, from frame to
frame. Its released code (bethgelab/slow_disentanglement) divides the rate by the logarithm of the
number of values, lets no class (shape) change, and makes one factor change at least; here nothing
is forced, and `moving` chooses. "drift" is a scene in which things keep their speed.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.data.batches import grid_of
from devae_jax.data.pairs import paired
from devae_jax.names import lookup, unknown
from devae_jax.types import Array, Dataset, Source

# (a key for each further frame, values [B], number of values) -> the values of these frames
Walk = Callable[[list[Array], Array, int], list[Array]]


def source(
    dataset: Dataset,
    batch_size: int,
    *,
    motion: str = "laplace",
    rate: float = 1.0,
    speed: int = 2,
    frames: int = 2,
    moving: Sequence[str] = (),
) -> Source:
    """Batches {"image", "pair" [B, H, W, C], "shared" bool [B, F]} of `batch_size` scenes.

    "image" is the first frame, from the training distribution, and "pair" the second; "shared"
    is True for a factor that stayed. With more than two frames there are also "frames"
    [B, T, H, W, C], all of them, and "stayed" bool [B, T - 1, F].
    motion: "laplace": a factor of value a takes the value b with probability proportional to
        exp(-rate |b - a|), within its range. "drift": a factor has a speed, drawn for each scene
        uniformly from -speed to speed values a frame, and turns back at both ends of its range.
    moving: names of the factors that move; the others stay. Empty: all may move.
    Raises ValueError for an unknown motion or factor, a rate or speed that is not positive, fewer
    than two frames, images read on the host, a data set without a full grid of factors or with
    held-out images, and a batch larger than the data.
    """
    grid = grid_of(dataset, "data.source.kind='temporal'")
    for name, value, least in (("rate", rate, 0), ("speed", speed, 0), ("frames", frames, 1)):
        if not value > least:
            raise ValueError(
                f"got data.source.{name}={value}, expected more than {least}; fix the {name}"
            )
    names = (moving,) if isinstance(moving, str) else tuple(moving)
    for name in names:
        if name not in grid.names:
            raise unknown("data.source.moving", name, grid.names)
    walk = lookup({"laplace": _laplace(rate), "drift": _drift(speed)}, motion, "data.source.motion")

    def change(key: Array, step: Array, first: Array) -> tuple[list[Array], Array]:
        found = [first]
        walks = [
            walk(_keys(key, step, len(grid.sizes), column, frames), first[:, column], size)
            if not names or grid.names[column] in names
            else [first[:, column]] * (frames - 1)
            for column, size in enumerate(grid.sizes)
        ]
        found += [jnp.stack(values, 1).astype(first.dtype) for values in zip(*walks, strict=True)]
        stayed = [now == before for before, now in itertools.pairwise(found)]
        return found[1:], jnp.stack(stayed, 1)

    return paired(dataset, batch_size, "temporal", change)


def _keys(key: Array, step: Array, factors: int, column: int, frames: int) -> list[Array]:
    """The keys of one factor, one a frame after the first."""
    streams = ["frame", *(f"frame {t}" for t in range(2, frames))]
    return [jax.random.split(rng.stream(key, name, step), factors)[column] for name in streams]


def _laplace(rate: float) -> Walk:
    def walk(keys: list[Array], values: Array, size: int) -> list[Array]:
        found = []
        for key in keys:
            distance = jnp.abs(jnp.arange(size)[None] - values[:, None])
            values = jax.random.categorical(key, -rate * distance.astype(jnp.float32))
            found.append(values)
        return found

    return walk


def _drift(speed: int) -> Walk:
    def walk(keys: list[Array], values: Array, size: int) -> list[Array]:
        rate = jax.random.randint(keys[0], values.shape, -speed, speed + 1)
        period = max(2 * (size - 1), 1)
        places = [(values + t * rate) % period for t in range(1, len(keys) + 1)]
        return [jnp.where(place < size, place, period - place) for place in places]

    return walk
