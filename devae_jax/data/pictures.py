"""Pictures read one by one on the host, with factors or without: a folder, tfds records."""

import hashlib
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.data.images import THREADS
from devae_jax.data.labels import read_csv, with_factors
from devae_jax.data.request import Request, refuse
from devae_jax.names import lookup
from devae_jax.types import Dataset

FACTORS = "factors.csv"  # beside the images of a folder
ON_ERROR = ("stop", "skip")
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def folder(request: Request) -> Dataset:
    """All images under the folder `path`, upright, cropped to their central square.

    Their factors are those of factors.csv in the folder, if there is one: a row an image, with
    its path from the folder in the column `file`.
    Raises ValueError if there are no images, for a size or channels that can not be, for a
    factors.csv that does not fit, and, when it is read, for a file that is not an image; with
    `on_error` "skip" such files are left out, and a warning counts them.
    """
    refuse(request, "folder", "factors")
    lookup(dict.fromkeys(ON_ERROR), request.on_error, "data.on_error")
    root = path_of(request, "folder", "a folder of images")
    shape = shape_of(request, "folder", channels=3)
    try:
        files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    except OSError as error:
        raise ValueError(
            f"got {error.strerror or error} while {root} was searched for images, expected a "
            "folder that can be read; fix data.path"
        ) from error
    if not files:
        raise ValueError(
            f"got no images in {root}, expected files ending in {', '.join(sorted(SUFFIXES))}; "
            "fix data.path"
        )
    names = [f.relative_to(root).as_posix() for f in files]
    listing = [f"{name} {f.stat().st_size}" for name, f in zip(names, files, strict=True)]
    table, notes = None, ""
    if (root / FACTORS).is_file():
        table = read_csv(root / FACTORS, names, request.continuous)
        notes = (root / FACTORS).read_text(encoding="utf-8-sig")
    kept = np.arange(len(files))
    if request.on_error == "skip":
        kept = _readable(lambda number: _open(files[number], shape), kept, root)

    def read(number: int) -> np.ndarray:
        return _open(files[kept[number]], shape)

    identity = {
        "name": "folder",
        "images": len(kept),
        "image_shape": list(shape),
        "sha256": hashlib.sha256(
            "\n".join([*(listing[i] for i in kept), *filter(None, [notes])]).encode()
        ).hexdigest(),
    }
    dataset = Dataset(
        name="folder", image_shape=shape, size=len(kept), identity=identity, read=read
    )
    if table is None:
        refuse(request, "folder", "continuous")
        return dataset
    return with_factors(dataset, table._replace(values=table.values[kept]))


def _open(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            return square(ImageOps.exif_transpose(image), shape)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"got unreadable image {file} ({error}), expected a picture; replace or remove it, "
            "or set data.on_error='skip'"
        ) from error


def _readable(read: Callable[[int], Any], numbers: np.ndarray, root: Path) -> np.ndarray:
    """The numbers of the images that can be read; a warning counts the others."""

    def problem(number: int) -> str:
        try:
            read(number)
        except ValueError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(THREADS) as threads:
        problems = list(threads.map(problem, numbers.tolist()))
    kept = numbers[[not text for text in problems]]
    found = [text for text in problems if text]
    if not len(kept):
        raise ValueError(f"got no readable image of {len(numbers)} in {root}; {found[0]}")
    if found:
        warnings.warn(
            f"skipped {len(found)} of {len(numbers)} images in {root}; {found[0]}", stacklevel=3
        )
    return kept


def background(path: str | os.PathLike) -> np.ndarray:
    """A picture for `variants.scream`, float32 [h, w, 3] in [0, 1].

    Scaled to at most 350 pixels across and 274 down, as in disentanglement_lib.
    Raises ValueError for no path and for a file that is not a picture.
    """
    from PIL import Image

    if not path or not Path(path).expanduser().is_file():
        raise ValueError(
            f"got data.path={str(path)!r}, expected the file of a picture for the background, such "
            "as Munch's The Scream; set data.path"
        )
    file = Path(path).expanduser()
    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"got unreadable image {file} ({error}), expected a picture; fix data.path"
        ) from error
    picture.thumbnail((350, 274))
    return np.asarray(picture, np.float32) / 255


def path_of(request: Request, name: str, expected: str) -> Path:
    if not request.path:
        raise ValueError(f"got no data.path for {name!r}, expected {expected}; set data.path")
    path = Path(request.path).expanduser()
    if not path.is_dir():
        raise ValueError(f"got data.path={str(path)!r}, expected {expected}; fix data.path")
    return path


def shape_of(request: Request, name: str, channels: int) -> tuple[int, int, int]:
    size = request.image_size
    if size is None or size < 1:
        raise ValueError(
            f"got data.image_size={size} for {name!r}, expected 1 pixel or more; set it"
        )
    channels = channels if request.channels is None else request.channels
    if channels not in (1, 3):
        raise ValueError(
            f"got data.channels={channels} for {name!r}, expected 1 (grey) or 3 (colour); set it"
        )
    return size, size, channels


def square(image: Any, shape: tuple[int, int, int], resample: int | None = None) -> np.ndarray:
    """The central square of a PIL image as uint8 [H, W, C].

    resample: a filter of `PIL.Image.Resampling`, by default the mean of a box
    Raises ValueError for more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    if image.mode[0] in "IF":  # converting them would clip, not scale
        raise ValueError(f"{image.mode} has more than 8 bits a channel")
    mode = "L" if shape[2] == 1 else "RGB"
    if image.mode == "LAB":  # which PIL converts to colour alone
        image = image.convert("RGB")
    resample = Image.Resampling.BOX if resample is None else resample
    fitted = ImageOps.fit(image.convert(mode), shape[1::-1], resample)
    return np.asarray(fitted).reshape(shape)
