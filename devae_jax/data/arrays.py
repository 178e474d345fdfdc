"""The user's images in one NumPy file, without factors, held on the device."""

import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from devae_jax.data import cache, table
from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset


def load(request: Request) -> Dataset:
    """The images uint8 [N, H, W] or [N, H, W, C] of the .npy or .npz file `path`.

    An .npz holds one array, or one called "images". Pickled objects are never loaded.
    `image_size` smaller than H averages blocks of pixels, exactly.
    Raises ValueError for a missing or damaged file, and for other types and shapes.
    """
    refuse(request, "arrays", "factors", "channels")
    if not request.path:
        raise ValueError(
            "got no data.path for 'arrays', expected an .npy or .npz file; set data.path"
        )
    path = Path(request.path).expanduser()
    images = _checked(path, _read(path))
    native = (*images.shape[1:3], images.shape[3] if images.ndim == 4 else 1)
    shape = table.resized(native, request.image_size)
    identity = {
        "name": "arrays",
        "images": len(images),
        "image_shape": list(shape),
        "sha256": cache.sha256(images),
    }
    return Dataset(
        name="arrays",
        image_shape=shape,
        size=len(images),
        identity=identity,
        arrays=jnp.asarray(images.reshape(len(images), -1)),
        observe=table.lookup(native, shape),
    )


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"got no file {path}, expected an .npy or .npz file; fix data.path")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = content.files
            name = names[0] if len(names) == 1 else "images"
            if name in names:
                return content[name]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"got unreadable {path} ({error}), expected an .npy or .npz file of uint8 images; "
            "write it again with np.save"
        ) from error
    raise ValueError(
        f"got {path} with {', '.join(names)}, expected one array, or one called images; "
        "rename the array of the images"
    )


def _checked(path: Path, images: np.ndarray) -> np.ndarray:
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] <= 4)
    if images.dtype != np.uint8 or not shaped or not images.size:
        raise ValueError(
            f"got {images.dtype} {list(images.shape)} in {path}, expected images uint8 [N, H, W] "
            "or [N, H, W, C] with up to 4 channels, from 0 to 255; convert them"
        )
    if images.max() <= 1:
        raise ValueError(
            f"got intensities up to {images.max()} in {path}, expected 0 to 255; "
            "multiply the images by 255"
        )
    return images
