"""Images that do not fit on the device: decoded on the host, a chunk of steps at a time.

The order is a pure function of (seed, step): resuming reads on at the same image,
whatever the number of processes, and nothing but the step is saved.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from devae_jax.data.ondevice import local_rows
from devae_jax.types import Array, Shard, Source

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class Images(NamedTuple):
    """Images by number, without factors.

    read(i) -> uint8 [H, W, C]; called from several threads
    identity: what makes these images these ones; JSON-able
    """

    size: int
    image_shape: tuple[int, int, int]
    read: Callable[[int], np.ndarray]
    identity: dict[str, Any]


def folder(path: str | os.PathLike, image_size: int, *, channels: int = 3) -> Images:
    """All images under a folder, cropped to their central square, `image_size` pixels wide.

    Raises ValueError if there are none, or when an image can not be read.
    """
    root = Path(path).expanduser()
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise ValueError(
            f"got no images in {root}, expected files ending in {', '.join(sorted(SUFFIXES))}; "
            "fix the path"
        )
    listing = "\n".join(f"{f.relative_to(root).as_posix()} {f.stat().st_size}" for f in files)

    def read(i: int) -> np.ndarray:
        from PIL import Image

        try:
            with Image.open(files[i]) as image:
                return _square(image, image_size, channels)
        except OSError as error:
            raise ValueError(
                f"got unreadable image {files[i]} ({error}); replace or remove it"
            ) from error

    shape = (image_size, image_size, channels)
    identity = {
        "name": "folder",
        "images": len(files),
        "image_shape": list(shape),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }
    return Images(len(files), shape, read, identity)


def records(
    name: str,
    image_size: int,
    *,
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
) -> Images:
    """The images of a tfds data set that was prepared with file_format="array_record".

    Raises ValueError if it is not there, is in another format, or has no images.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        source = builder.as_data_source(split)
    except (NotImplementedError, AssertionError, tfds.core.DatasetNotFoundError) as error:
        raise ValueError(
            f"got no readable tfds data set {name!r} ({error}), expected one prepared with "
            "file_format='array_record'"
        ) from error
    if "image" not in builder.info.features:
        raise ValueError(
            f"got {name!r} with {', '.join(builder.info.features)}, expected a feature 'image'"
        )
    channels = builder.info.features["image"].shape[-1]

    def read(i: int) -> np.ndarray:
        image = source[i]["image"]
        return _square(Image.fromarray(image.squeeze()), image_size, channels)

    shape = (image_size, image_size, channels)
    identity = {
        "name": builder.info.full_name,
        "images": len(source),
        "image_shape": list(shape),
        "split": split,
    }
    return Images(len(source), shape, read, identity)


def _square(image: Any, size: int, channels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(
        image.convert("L" if channels == 1 else "RGB"), (size, size), Image.Resampling.BOX
    )
    return np.asarray(fitted).reshape(size, size, channels)


def source(
    images: Images,
    batch_size: int,
    *,
    seed: int = 0,
    process: Shard = Shard(),  # noqa: B008
    threads: int = 16,
) -> Source:
    """Batches in a new random order each epoch; the next chunk is read ahead.

    process: which part of the global batch this process reads
    Raises ValueError if the batch is larger than the data or the processes do not
    divide it.
    """
    import grain

    if not 1 <= batch_size <= images.size or batch_size % process.count:
        raise ValueError(
            f"got batch_size={batch_size}, expected 1 to {images.size}, the number of images, "
            f"and a multiple of the {process.count} processes; fix batch_size"
        )
    order = grain.MapDataset.range(images.size).shuffle(seed=seed).repeat()
    rows = batch_size // process.count
    decoders = ThreadPoolExecutor(threads)
    reader = ThreadPoolExecutor(1)
    ahead: dict[tuple[int, int], Future[np.ndarray]] = {}

    def chunk(step: int, count: int) -> np.ndarray:
        steps = step + np.arange(count)
        steps = np.roll(steps, step % count)  # the batch of step t goes to t % count
        places = steps[:, None] * batch_size + int(process.index) * rows + np.arange(rows)
        pixels = decoders.map(lambda place: images.read(order[int(place)]), places.ravel())
        return np.stack(list(pixels)).reshape(count, rows, *images.image_shape)

    def host_batches(step: int, count: int) -> np.ndarray:
        ready = ahead.pop((step, count), None) or reader.submit(chunk, step, count)
        ahead.clear()
        following = step + count
        ahead[following, count] = reader.submit(chunk, following, count)
        return ready.result()

    def take(arrays: Array, key: Array, step: Array, shard: Shard = Shard()) -> Array:  # noqa: B008
        del key
        batch = arrays[step % arrays.shape[0]]
        if batch.shape[0] == batch_size:  # not split over the devices yet
            batch = local_rows(batch, shard)
        return batch.astype(jnp.float32) / 255

    return Source(
        arrays=None,
        take=take,
        size=images.size,
        batch_size=batch_size,
        image_shape=images.image_shape,
        streaming=True,
        host_batches=host_batches,
    )
