"""Data sets stored as one row a grid point, looked up on the device."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from devae_jax.data import factors as fg
from devae_jax.data.images import scaled
from devae_jax.types import Array, Dataset


def dataset(
    name: str,
    kept: fg.Subset,
    rows: np.ndarray,
    sha256: str,
    image_shape: tuple[int, int, int],
    image_size: int | None = None,
) -> Dataset:
    """A data set over uint8 rows [number of images, ...] in the order of `kept.grid`.

    Rows of H * W / 8 bytes are bit-packed images of {0, 1} and stay packed in device
    memory; rows of H * W * C bytes are intensities 0..255.
    `image_size` smaller than H averages blocks of pixels, exactly.
    """
    shape = resized(image_shape, image_size)
    packed = rows[0].size * 8 == image_shape[0] * image_shape[1]
    look_up = lookup(image_shape, shape, packed=packed)
    return Dataset(
        name=name,
        image_shape=shape,
        size=len(rows),
        identity=identity(name, kept, shape, sha256),
        arrays=jnp.asarray(rows.reshape(len(rows), -1)),
        observe=lambda arrays, factors: look_up(arrays, fg.to_index(kept.grid, factors)),
        grid=kept.grid,
    )


def lookup(
    native: tuple[int, int, int], shape: tuple[int, int, int], *, packed: bool = False
) -> Callable[[Array, Array], Array]:
    """(rows uint8 [N, ...], numbers int32 [B]) -> images [B, *shape] in [0, 1], from `native`."""
    height, width, channels = native

    def look_up(rows: Array, numbers: Array) -> Array:
        found = rows[numbers]
        if packed:
            images = unpack(found, height, block=min(8, height // shape[0]))
        else:
            images = scaled(found.reshape(-1, height, width, channels))
        return block_mean(images, shape[0])

    return look_up


def identity(
    name: str, kept: fg.Subset, image_shape: tuple[int, int, int], sha256: str
) -> dict[str, Any]:
    """What makes this data set this one; JSON-able."""
    return {
        "name": name,
        "factors": kept.restricted,
        "image_shape": list(image_shape),
        "sha256": sha256,
    }


def resized(image_shape: tuple[int, int, int], image_size: int | None) -> tuple[int, int, int]:
    """The shape at `image_size`. Raises ValueError unless it is a mean of square blocks."""
    height, width, channels = image_shape
    if image_size is None:
        return image_shape
    blocks = [n for n in range(1, height + 1) if height % n == 0 and width % (height // n) == 0]
    if image_size not in blocks:
        raise ValueError(
            f"got image_size={image_size}, expected one that divides {height}x{width} into square "
            f"blocks: {', '.join(map(str, blocks))}; fix data.image_size"
        )
    return image_size, image_size * width // height, channels


def block_mean(images: Array, image_size: int) -> Array:
    """Averages blocks of pixels: [N, H, W, C] -> [N, image_size, image_size * W / H, C]."""
    block = images.shape[1] // image_size
    if block == 1:
        return images
    # Sums of strided slices: XLA:CPU reduces short inner axes many times slower.
    rows = functools.reduce(jnp.add, (images[:, i::block] for i in range(block)))
    return functools.reduce(jnp.add, (rows[:, :, i::block] for i in range(block))) / block**2


def unpack(packed: Array, height: int, block: int = 1) -> Array:
    """Bit-packed images as float32, averaged over blocks of 1, 2, 4 or 8 pixels.

    uint8 [N, height * width / 8], each row the `np.packbits` of an image, gives
    [N, height / block, width / block, 1]. A look-up of whole bytes is several times
    faster on a CPU than shifting bits.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8 // block, block)
    means = jnp.asarray(bits.mean(-1) / block, jnp.float32)  # [256, 8 / block]
    lines = packed.reshape(packed.shape[0], height // block, block, -1)
    images = functools.reduce(jnp.add, (means[lines[:, :, i]] for i in range(block)))
    return images.reshape(packed.shape[0], height // block, -1, 1)
