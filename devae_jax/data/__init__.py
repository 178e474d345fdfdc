"""Data sets, with ground truth or without, and the sources that make batches of them.

A loader is any callable `loader(request) -> Dataset`, and a source any callable
`source(dataset, batch_size, *, options) -> Source`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devae_jax.data import (
    arrays,
    dsprites_regen,
    lobes,
    multi_sprites,
    ondevice,
    pairs,
    pictures,
    published,
    real,
    regimes,
    shapes3d_like,
    stream,
    temporal,
    tfds,
    toy,
    variants,
    xy_squares,
)
from devae_jax.data.factors import num_images
from devae_jax.data.images import images_of, points_of
from devae_jax.data.labels import labels_of
from devae_jax.data.request import Request
from devae_jax.names import lookup
from devae_jax.types import Dataset, Source

Loader = Callable[[Request], Dataset]


def _then(variant: Callable[..., Dataset], loader: Loader) -> Loader:
    return lambda request: variant(loader(request))


def _on_picture(loader: Loader) -> Loader:
    """The data set on a background: the picture that `path` names."""

    def load(request: Request) -> Dataset:
        picture = pictures.background(request.path)
        return variants.scream(loader(request._replace(path="")), picture)

    return load


_DSPRITES: dict[str, Loader] = {
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
    **{f"{name}_scream": _on_picture(loader) for name, loader in _DSPRITES.items()},
    "shapes3d": functools.partial(real.load, "shapes3d"),
    **published.LOADERS,
    "smallnorb_noinstance": _then(
        functools.partial(variants.hide, factor="instance"), published.LOADERS["smallnorb"]
    ),
    "shapes3d_like": shapes3d_like.load,
    "xy_squares": xy_squares.load,
    "multi_sprites": multi_sprites.load,
    "lobes": lobes.load,
    "lobes_two": functools.partial(lobes.load, objects=2),
    "toy": toy.load,
    "toy_rgb": functools.partial(toy.load, channels=3),
    "arrays": arrays.load,
    "mapped": arrays.mapped,
    "folder": pictures.folder,
    "records": tfds.records,
    "tfds:": tfds.prepared,  # and a name
}
SOURCES: dict[str, Callable[..., Source]] = {
    "ondevice": ondevice.source,
    "pairs": pairs.source,
    "temporal": temporal.source,
    "stream": stream.source,
}


def load(
    name: str | Loader,
    request: Request = Request(),  # noqa: B008
    *,
    correlated: Mapping[str, Any] | None = None,
    held_out: Mapping[str, Sequence[int]] | None = None,
    imbalanced: Mapping[str, Sequence[float]] | None = None,
    nuisance: Sequence[str] = (),
    noise: float = 0.0,
) -> Dataset:
    """The data set called `name`, or that of the user's own loader.

    correlated, held_out: what training draws, see `variants`: {"first": "scale",
        "second": "x_position", "sigma": 0.2}, or {"shape": [0], "scale": [1]}; values
        count from 0 in what `request.factors` kept
    imbalanced, nuisance, noise: see `regimes`: {"shape": (8, 1, 1)}, ("x_position",), 0.1
    Raises ValueError for an unknown name, factor, value or size, for an option that the
    data set has no use for, and when its files are missing or damaged.
    """
    drawn = {"correlated": correlated, "held_out": held_out, "imbalanced": imbalanced}
    given = [option for option, value in drawn.items() if value]
    if len(given) > 1:
        raise ValueError(f"got both {' and '.join(given[:2])}, expected one; remove one")
    loader = lookup(DATASETS, name, "data.name") if isinstance(name, str) else name
    dataset = _checked(loader(request))
    if correlated:
        dataset = variants.correlated(dataset, **correlated)
    if held_out:
        dataset = variants.hold_out(dataset, held_out)
    if imbalanced:
        dataset = regimes.imbalanced(dataset, imbalanced)
    if nuisance:
        dataset = regimes.with_nuisance(dataset, nuisance)
    return regimes.with_noise(dataset, noise)


def _checked(dataset: Dataset) -> Dataset:
    """What a user's loader may get wrong, before it shows elsewhere."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"got {type(dataset).__name__} from the loader of data.name, expected a Dataset; "
            "return devae_jax.types.Dataset(...)"
        )
    if dataset.observe is None and dataset.read is None:
        raise ValueError(
            f"got {dataset.name!r} with neither observe nor read, expected one; see "
            "devae_jax.types.Dataset"
        )
    grid = dataset.grid
    if grid is not None and num_images(grid) != dataset.size:
        raise ValueError(
            f"got {dataset.name!r} of size {dataset.size} with a grid of {num_images(grid)} "
            "images, expected as many; fix the size or the grid"
        )
    known = dataset.table
    if known is not None and (grid is not None or len(known.values) != dataset.size):
        raise ValueError(
            f"got {dataset.name!r} of size {dataset.size} with a table of {len(known.values)} "
            "rows of factors, expected as many, and no grid beside it; fix the table"
        )
    return dataset


__all__ = [
    "DATASETS",
    "SOURCES",
    "Loader",
    "Request",
    "images_of",
    "labels_of",
    "load",
    "points_of",
]
