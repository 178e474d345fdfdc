"""The real dSprites and Shapes3D, from the user's files or through tfds.

`prepare` checks what it is given and writes one table in grid order to the cache;
`load` then needs neither the file, nor HDF5, nor tfds. Files of these data sets are
shuffled by tfds, so a row's place comes from its labels, never from its position.

dSprites: Matthey et al. 2017; Shapes3D: Burgess & Kim 2018. Both Apache-2.0.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devae_jax.data import cache, dsprites_regen, shapes3d_like, table
from devae_jax.data import factors as fg
from devae_jax.data.foreign import UNREADABLE
from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset, FactorGrid

CHUNK = 4096  # images read at a time
COMMAND = "python launch/prepare_data.py"


class Kind(NamedTuple):
    """What a real data set is known by.

    keys: of images and labels in the published HDF5 file
    size, sha256: of that file, in bytes
    levels: the intensities in it
    """

    grid: FactorGrid
    image_shape: tuple[int, int, int]
    levels: int
    keys: tuple[str, str]
    url: str
    size: int
    sha256: str


KINDS = {
    "dsprites": Kind(
        grid=dsprites_regen.GRID,
        image_shape=(64, 64, 1),
        levels=2,
        keys=("imgs", "latents/classes"),
        url="https://github.com/google-deepmind/dsprites-dataset",
        size=28_024_106,
        sha256="729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
    ),
    "shapes3d": Kind(
        grid=shapes3d_like.GRID,
        image_shape=(64, 64, 3),
        levels=256,
        keys=("images", "labels"),
        url="https://storage.googleapis.com/3d-shapes/3dshapes.h5",
        size=267_573_662,
        sha256="0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
    ),
}


class Raw(NamedTuple):
    """A data set as it comes, in any order.

    labels: [N, F], any numbers; their ranks are the factor values
    shape: of the images, [N, H, W] or [N, H, W, C]
    images(start, stop) -> uint8 [stop - start, H, W] or [stop - start, H, W, C]
    """

    name: str
    labels: np.ndarray
    shape: tuple[int, ...]
    images: Callable[[int, int], np.ndarray]


def load(name: str, request: Request) -> Dataset:
    """A real data set that was prepared before: "dsprites" or "shapes3d".

    Raises ValueError if it was not, if its table is damaged, and for an unknown
    factor, value or image size.
    """
    refuse(request, name, "path", "channels", "continuous")
    kind, path = KINDS[name], _path(name, request.data_dir)
    cache.tidy(path)
    if not path.exists():
        substitute = {"dsprites": "dsprites_regen", "shapes3d": "shapes3d_like"}[name]
        raise ValueError(
            f"got no {path}, expected the prepared {name}; run `{COMMAND} --from=FILE` or "
            f"`{COMMAND} --tfds={name}`, or use {substitute!r}, which needs no download"
        )
    try:
        rows, sha256 = cache.read(path, layout(kind))
    except cache.DamagedError as error:
        raise ValueError(f"{error}; run `{COMMAND}` again") from error
    kept = fg.subset(FactorGrid(kind.grid.names, rows.shape[:-1]), request.factors)
    chosen = rows[np.ix_(*kept.values)] if kept.restricted else rows
    chosen = chosen.reshape(-1, rows.shape[-1])
    return table.dataset(name, kept, chosen, sha256, kind.image_shape, request.image_size)


def prepare(
    raw: Raw,
    *,
    data_dir: str | os.PathLike = "",
    any_grid: bool = False,
    progress: bool = True,
) -> Path:
    """Checks the images and labels and writes the table that `load` reads.

    any_grid: accept a full grid with other numbers of values than the published one
    Raises ValueError for a wrong shape, type or intensity, where combinations of factor values
    are missing or repeated, and while another process writes the table; StorageError for a
    disk that is full or read-only.
    """
    from tqdm import tqdm

    kind, count = KINDS[raw.name], raw.labels.shape[0] if raw.labels.ndim else 0
    if raw.shape[:1] != (count,):
        raise ValueError(
            f"got images of shape {list(raw.shape)} with {count} rows of labels, expected as "
            "many; the file is incomplete, download it again"
        )
    if math.prod(raw.shape[1:]) != math.prod(kind.image_shape):
        raise _other_layout(raw.shape[1:], "images", kind)
    grid, index = placed(raw.labels, kind.grid, any_grid)
    packed, width = kind.levels == 2, _width(kind)
    path = _path(raw.name, data_dir)
    steps = tqdm(range(0, count, CHUNK), f"packing {raw.name}", disable=None if progress else True)
    with cache.created(path, (*grid.sizes, width), np.uint8) as rows:
        flat = rows.reshape(count, width)
        for start in steps:
            try:
                images = raw.images(start, min(start + CHUNK, count))
            except UNREADABLE as error:
                raise ValueError(
                    f"got unreadable images from number {start} on ({error}), expected a whole "
                    "file; download it again"
                ) from error
            pixels = _checked(images, kind).reshape(len(images), -1)
            flat[index[start : start + CHUNK]] = np.packbits(pixels, 1) if packed else pixels
    return path


def layout(kind: Kind) -> cache.Layout:
    """Of the table: a row of bytes a point of a grid that may be another than the published."""
    return cache.Layout(np.uint8, (*[None] * len(kind.grid.names), _width(kind)))


def _width(kind: Kind) -> int:
    """Bytes an image; one bit a pixel where there are two levels."""
    return math.prod(kind.image_shape) // (8 if kind.levels == 2 else 1)


def _path(name: str, data_dir: str | os.PathLike) -> Path:
    return cache.folder(data_dir) / f"{name}.npy"


def placed(
    labels: np.ndarray, published: FactorGrid, any_grid: bool
) -> tuple[FactorGrid, np.ndarray]:
    """The grid that the labels [N, F] fill, and each row's place in it, int [N].

    any_grid: accept other numbers of values than the published ones
    Raises ValueError for other labels, and where combinations are missing or repeated.
    """
    if labels.ndim != 2 or labels.shape[1] != len(published.names) or not len(labels):
        raise ValueError(
            f"got labels of shape {list(labels.shape)}, expected [N, {len(published.names)}]: "
            f"{', '.join(published.names)}; this is not the published layout"
        )
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
        what = "NaN or infinite" if labels.dtype.kind == "f" else labels.dtype
        raise ValueError(
            f"got {what} labels, expected finite numbers; this is not the published layout"
        )
    ranks = [np.unique(column, return_inverse=True) for column in labels.T]
    sizes = tuple(len(values) for values, _ in ranks)
    if sizes != published.sizes and not any_grid:
        raise ValueError(
            f"got {dict(zip(published.names, sizes, strict=True))} factor values, expected "
            f"{list(published.sizes)}; the file is incomplete, download it again"
        )
    if math.prod(sizes) != len(labels):
        raise ValueError(
            f"got {len(labels)} images for {math.prod(sizes)} combinations of factor values, "
            "expected each once; the file is incomplete, download it again"
        )
    index = np.ravel_multi_index([rank for _, rank in ranks], sizes)
    times = np.bincount(index, minlength=len(labels))
    if (times != 1).any():
        raise ValueError(
            f"got {len(labels)} images with {(times == 0).sum()} combinations of factor values "
            f"missing and {(times > 1).sum()} repeated, expected each of {len(times)} once; "
            "the file is incomplete, download it again"
        )
    return FactorGrid(published.names, sizes), index


def _checked(images: np.ndarray, kind: Kind) -> np.ndarray:
    if images.dtype != np.uint8 or images.size != len(images) * np.prod(kind.image_shape):
        raise _other_layout(images.shape[1:], f"{images.dtype} images", kind)
    if images.max() >= kind.levels:
        raise ValueError(
            f"got intensities up to {images.max()}, expected 0 to {kind.levels - 1}; "
            "do not rescale the images"
        )
    return images


def _other_layout(shape: tuple[int, ...], what: str, kind: Kind) -> ValueError:
    return ValueError(
        f"got {what} of shape {list(shape)}, expected uint8 {list(kind.image_shape)}; this is not "
        "the published layout"
    )
