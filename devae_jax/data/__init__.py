"""Data sets with ground truth, observed on the device."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devae_jax.data import dsprites_regen, ondevice, real, shapes3d_like, toy, variants
from devae_jax.names import unknown
from devae_jax.types import Dataset


def _then(variant: Callable[..., Dataset], load: Callable[..., Dataset]) -> Callable[..., Dataset]:
    return lambda **options: variant(load(**options))


_DSPRITES: dict[str, Callable[..., Dataset]] = {
    "dsprites": functools.partial(real.load, "dsprites"),
    "dsprites_regen": dsprites_regen.load,
}
_VARIANTS: dict[str, Callable[..., Dataset]] = {
    "noshape": functools.partial(variants.hide, factor="shape"),
    "color": variants.colour,
    "noisy": variants.noisy,
}
DATASETS: dict[str, Callable[..., Dataset]] = {
    **_DSPRITES,
    **{
        f"{name}_{suffix}": _then(variant, loader)
        for name, loader in _DSPRITES.items()
        for suffix, variant in _VARIANTS.items()
    },
    "shapes3d": functools.partial(real.load, "shapes3d"),
    "shapes3d_like": shapes3d_like.load,
    "toy": toy.load,
    "toy_rgb": functools.partial(toy.load, channels=3),
}


def load(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    factors: Mapping[str, Sequence[int]] | None = None,
    image_size: int | None = None,
    correlated: Mapping[str, Any] | None = None,
    held_out: Mapping[str, Sequence[int]] | None = None,
    progress: bool = True,
) -> Dataset:
    """The data set called `name`.

    data_dir: where tables are cached; default devae_jax in the user's cache
    factors: keep only these values, {"shape": [0], "scale": [2, 3]}; a factor left
        with one value is no longer a factor
    image_size: block means of the native images, in pixels; default native
    correlated, held_out: what training draws, see `variants`: {"first": "scale",
        "second": "x_position", "sigma": 0.2}, or {"shape": [0], "scale": [1]}; values
        count from 0 in what `factors` kept
    Raises ValueError for an unknown name, factor, value or size, and when a real
    data set was not prepared.
    """
    if name not in DATASETS:
        raise unknown("data.name", name, DATASETS)
    if correlated and held_out:
        raise ValueError("got both correlated and held_out, expected one; remove one")
    dataset = DATASETS[name](
        data_dir=data_dir, factors=factors, image_size=image_size, progress=progress
    )
    if correlated:
        return variants.correlated(dataset, **correlated)
    return variants.hold_out(dataset, held_out) if held_out else dataset


source = ondevice.source

__all__ = ["DATASETS", "load", "source"]
