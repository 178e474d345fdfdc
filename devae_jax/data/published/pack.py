"""Published data sets in the project's own format: packed once, then read without their files.

A data set with a full grid is a table uint8 [*sizes, H, W, C] in grid order, any other one a table
uint8 [N, 8 F + H W C]: a row is the bytes of its factors, little-endian float64, and of its image.
"""

import io
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from devae_jax.data import cache, table
from devae_jax.data import factors as fg
from devae_jax.data.images import THREADS
from devae_jax.data.labels import table_of
from devae_jax.data.pictures import square
from devae_jax.data.published.kind import Chunk, Kind, Picture, Raw
from devae_jax.data.real import COMMAND, placed
from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset, FactorGrid, FactorTable

SIDE = 64  # pixels, of images that are not told otherwise


def prepare(
    raw: Raw,
    name: str,
    kind: Kind,
    *,
    side: int = SIDE,
    data_dir: str | os.PathLike = "",
    any_grid: bool = False,
    progress: bool = True,
) -> Path:
    """Checks the images and labels and writes the table that `load` and `mapped` read.

    side: to which the central square of the images is resized, by Lanczos' filter
    any_grid: accept other numbers of factor values than the published ones
    Raises ValueError for images and labels that are not as published, or do not fit together.
    """
    from tqdm import tqdm

    if side < 1:
        raise ValueError(f"got image_size={side}, expected 1 pixel or more; fix it")
    shape, width = (side, side, kind.channels), 8 * len(kind.names)
    path, count = _path(name, data_dir), len(raw.labels)
    values, places = np.zeros((count, 0)), np.arange(count)
    size: tuple[int, ...] = (count, width + math.prod(shape))
    if kind.grid:
        grid, places = placed(raw.labels, FactorGrid(kind.names, kind.sizes), any_grid)
        width, size = 0, (*grid.sizes, *shape)
    else:
        values = _table(raw.labels, name, kind, any_grid)
    bar = tqdm(total=count, desc=f"packing {name}", disable=None if progress else True)
    with bar, cache.created(path, size, np.uint8) as rows:
        flat = rows.reshape(count, -1)
        flat[:, :width] = values.astype("<f8").view(np.uint8)
        done = 0
        for chunk in _fitted(raw, shape, name):
            if done + len(chunk) > count:
                raise ValueError(_uneven(name, f"more than {count:,}", count))
            flat[places[done : done + len(chunk)], width:] = chunk.reshape(len(chunk), -1)
            done += len(chunk)
            bar.update(len(chunk))
        if done < count:
            raise ValueError(_uneven(name, f"{done:,}", count))
    return path


def layout(kind: Kind) -> cache.Layout:
    """Of the table, whose images have any size and whose grid may be another than the published."""
    if kind.grid:
        return cache.Layout(np.uint8, (*[None] * (len(kind.names) + 2), kind.channels))
    return cache.Layout(np.uint8, (None, None))


def load(name: str, kind: Kind, request: Request) -> Dataset:
    """A data set that was prepared before, its images on the device.

    Raises ValueError if it was not, if its table is damaged, for an unknown factor or value,
    and for an image size that does not divide the prepared one.
    """
    rows, sha256, native = _rows(name, kind, request, whole=True)
    if kind.grid:
        kept = fg.subset(FactorGrid(kind.names, rows.shape[:-3]), request.factors)
        chosen = rows[np.ix_(*kept.values)] if kept.restricted else rows
        chosen = chosen.reshape(-1, math.prod(native))
        return table.dataset(name, kept, chosen, sha256, native, request.image_size)
    shape = table.resized(native, request.image_size)
    dataset = _described(name, kind, rows, shape, sha256)
    images = jnp.asarray(rows[:, 8 * len(kind.names) :])
    return dataset._replace(arrays=images, observe=table.lookup(native, shape))


def mapped(name: str, kind: Kind, request: Request) -> Dataset:
    """As `load`, of images that stay on disk; for data.source.kind="stream".

    `image_size` is the prepared one. The table's hash is that which was written with it.
    """
    called = f"{name}_mapped"
    rows, sha256, native = _rows(name, kind, request, whole=False)
    if request.image_size not in (None, native[0]):
        raise ValueError(
            f"got data.image_size={request.image_size} for {called!r}, prepared with {native[0]} "
            f"pixels, expected {native[0]}; fix it, or prepare it with --image_size"
        )
    if not kind.grid:
        start = 8 * len(kind.names)
        read = lambda number: np.array(rows[number, start:]).reshape(native)  # noqa: E731
        return _described(called, kind, rows, native, sha256)._replace(read=read)
    kept = fg.subset(FactorGrid(kind.names, rows.shape[:-3]), request.factors)
    numbers = np.ravel_multi_index(np.ix_(*kept.values), rows.shape[:-3]).ravel()
    flat = rows.reshape(-1, *native)
    return Dataset(
        name=called,
        image_shape=native,
        size=len(numbers),
        identity=table.identity(called, kept, native, sha256),
        read=lambda number: np.array(flat[numbers[number]]),
        grid=kept.grid,
    )


def _described(
    name: str, kind: Kind, rows: np.ndarray, shape: tuple[int, int, int], sha256: str
) -> Dataset:
    """A data set without a full grid, but for its images."""
    continuous = tuple(size == 0 for size in kind.sizes)
    values = np.ascontiguousarray(rows[:, : 8 * len(kind.names)]).view("<f8")
    return Dataset(
        name=name,
        image_shape=shape,
        size=len(rows),
        identity={
            "name": name,
            "images": len(rows),
            "image_shape": list(shape),
            "sha256": sha256,
        },
        table=FactorTable(kind.names, values.astype(np.float64), continuous),
    )


def _path(name: str, data_dir: str | os.PathLike) -> Path:
    return cache.folder(data_dir) / f"{name}.npy"


def _rows(
    name: str, kind: Kind, request: Request, *, whole: bool
) -> tuple[np.ndarray, str, tuple[int, int, int]]:
    """The prepared table, its hash, and the shape of its images; whole: all bytes are checked."""
    refuse(request, name, "path", "channels", "continuous", *([] if kind.grid else ["factors"]))
    path = _path(name, request.data_dir)
    cache.tidy(path)
    if not path.exists():
        raise ValueError(
            f"got no {path}, expected the prepared {name}; run `{COMMAND} --name={name} "
            f"--from=PATH`, where PATH is {kind.path} from {kind.url}"
        )
    try:
        rows, sha256 = (cache.read if whole else cache.mapped)(path, layout(kind))
    except cache.DamagedError as error:
        raise ValueError(f"{error}; run `{COMMAND}` again") from error
    if kind.grid:
        return rows, sha256, rows.shape[-3:]
    side = math.isqrt(max(rows.shape[1] - 8 * len(kind.names), 0) // kind.channels)
    native = (side, side, kind.channels)
    if not side or rows.shape[1] != 8 * len(kind.names) + math.prod(native):
        raise ValueError(
            f"got {path} with rows of {rows.shape[1]} bytes, expected the prepared {name}; run "
            f"`{COMMAND}` again"
        )
    return rows, sha256, native


def _table(labels: np.ndarray, name: str, kind: Kind, any_grid: bool) -> np.ndarray:
    """The factors of images that are no full grid; those of discrete factors are ranks."""
    values = table_of(labels, kind.names, name).values
    for column, (factor, size) in enumerate(kind.factors.items()):
        if size:
            found, values[:, column] = np.unique(values[:, column], return_inverse=True)
            if len(found) != size and not any_grid:
                raise ValueError(
                    f"got {len(found)} values of {factor!r} in {name}, expected {size}; the "
                    "file is incomplete, download it again"
                )
    return values


def _fitted(raw: Raw, shape: tuple[int, int, int], name: str) -> Iterator[np.ndarray]:
    """The images as uint8 [n, *shape]."""
    with ThreadPoolExecutor(THREADS) as threads:
        for chunk in raw.chunks:
            if isinstance(chunk, np.ndarray):
                _check(chunk, shape[2], name)
                if chunk.shape[1:3] == shape[:2]:
                    yield chunk.reshape(-1, *shape)
                    continue
            yield np.stack(list(threads.map(lambda picture: _fit(picture, shape), chunk)))


def _fit(picture: np.ndarray | Picture, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image

    if isinstance(picture, np.ndarray):
        return square(Image.fromarray(picture.squeeze()), shape, Image.Resampling.LANCZOS)
    name, content = picture
    try:
        with Image.open(io.BytesIO(content)) as image:
            return square(image, shape, Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"got unreadable {name} of {len(content):,} bytes ({error}), expected a whole picture; "
            "download the data set again"
        ) from error


def _check(chunk: Chunk, channels: int, name: str) -> None:
    assert isinstance(chunk, np.ndarray), "pictures are checked when they are read"
    depth = chunk.shape[3] if chunk.ndim == 4 else 1
    if chunk.dtype != np.uint8 or chunk.ndim not in (3, 4) or depth != channels:
        raise ValueError(
            f"got {chunk.dtype} images of shape {list(chunk.shape[1:])} for {name}, expected uint8 "
            f"with {channels} channels; this is not the published layout"
        )


def _uneven(name: str, found: str, count: int) -> str:
    return (
        f"got {found} images of {name} for {count:,} rows of factors, expected as many; download "
        "it again"
    )
