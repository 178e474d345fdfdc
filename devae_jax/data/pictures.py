"""Pictures without factors, read one by one on the host: a folder of files, tfds records."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def folder(request: Request) -> Dataset:
    """All images under the folder `path`, cropped to their central square.

    Raises ValueError if there are none, for a size or channels that can not be, and, when
    it is read, for a file that is not an image.
    """
    refuse(request, "folder", "factors")
    root = _path(request, "folder", "a folder of images")
    shape = _shape(request, "folder", channels=3)
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise ValueError(
            f"got no images in {root}, expected files ending in {', '.join(sorted(SUFFIXES))}; "
            "fix data.path"
        )
    listing = "\n".join(f"{f.relative_to(root).as_posix()} {f.stat().st_size}" for f in files)

    def read(number: int) -> np.ndarray:
        from PIL import Image

        file = files[number]
        try:
            with Image.open(file) as image:
                return _square(image, shape)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"got unreadable image {file} ({error}), expected a picture; replace or remove it"
            ) from error

    identity = {
        "name": "folder",
        "images": len(files),
        "image_shape": list(shape),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }
    return Dataset(name="folder", image_shape=shape, size=len(files), identity=identity, read=read)


def records(request: Request, split: str = "train") -> Dataset:
    """The images of a tfds data set, prepared with file_format="array_record" in `path`.

    path: the folder of one version, such as ~/tensorflow_datasets/celeb_a/2.1.0
    Raises ValueError if it is not there, is in another format, or has no images.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    refuse(request, "records", "factors")
    path = _path(request, "records", "the folder of a prepared tfds data set, name/version")
    try:
        builder = tfds.builder_from_directory(path)
        examples = builder.as_data_source(split)
    except (NotImplementedError, AssertionError, OSError, ValueError) as error:
        raise ValueError(
            f"got no readable tfds data set in {path} ({error}), expected one prepared with "
            "file_format='array_record'; fix data.path"
        ) from error
    if "image" not in builder.info.features:
        raise ValueError(
            f"got {path} with {', '.join(builder.info.features)}, expected a feature 'image'; "
            "take another data set"
        )
    shape = _shape(request, "records", builder.info.features["image"].shape[-1])

    def read(number: int) -> np.ndarray:
        return _square(Image.fromarray(examples[number]["image"].squeeze()), shape)

    identity = {
        "name": builder.info.full_name,
        "images": len(examples),
        "image_shape": list(shape),
        "split": split,
    }
    return Dataset(
        name=builder.info.name,
        image_shape=shape,
        size=len(examples),
        identity=identity,
        read=read,
    )


def _path(request: Request, name: str, expected: str) -> Path:
    if not request.path:
        raise ValueError(f"got no data.path for {name!r}, expected {expected}; set data.path")
    path = Path(request.path).expanduser()
    if not path.is_dir():
        raise ValueError(f"got data.path={str(path)!r}, expected {expected}; fix data.path")
    return path


def _shape(request: Request, name: str, channels: int) -> tuple[int, int, int]:
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


def _square(image: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """The central square of a PIL image as uint8 [H, W, C]."""
    from PIL import Image, ImageOps

    if image.mode[0] in "IF":  # converting them would clip, not scale
        raise ValueError(f"{image.mode} has more than 8 bits a channel")
    mode = "L" if shape[2] == 1 else "RGB"
    fitted = ImageOps.fit(image.convert(mode), shape[:2], Image.Resampling.BOX)
    return np.asarray(fitted).reshape(shape)
