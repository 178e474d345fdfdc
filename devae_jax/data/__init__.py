"""Data sets with ground truth, observed on the device."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence

from devae_jax.data import dsprites_regen, ondevice, real, shapes3d_like, toy
from devae_jax.data.factors import unknown
from devae_jax.types import Dataset

DATASETS: dict[str, Callable[..., Dataset]] = {
    "dsprites_regen": dsprites_regen.load,
    "shapes3d_like": shapes3d_like.load,
    "dsprites": functools.partial(real.load, "dsprites"),
    "shapes3d": functools.partial(real.load, "shapes3d"),
    "toy": toy.load,
    "toy_rgb": functools.partial(toy.load, channels=3),
}


def load(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    factors: Mapping[str, Sequence[int]] | None = None,
    image_size: int | None = None,
    progress: bool = True,
) -> Dataset:
    """The data set called `name`.

    data_dir: where tables are cached; default devae_jax in the user's cache
    factors: keep only these values, {"shape": [0], "scale": [2, 3]}; a factor left
        with one value is no longer a factor
    image_size: block means of the native images, in pixels; default native
    Raises ValueError for an unknown name, factor, value or size, and when a real
    data set was not prepared.
    """
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    return DATASETS[name](
        data_dir=data_dir, factors=factors, image_size=image_size, progress=progress
    )


source = ondevice.source

__all__ = ["DATASETS", "load", "source"]
