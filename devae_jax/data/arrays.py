"""The user's images in one NumPy or HDF5 file, with factors or without.

"arrays" holds them on the device; "mapped" reads each from disk when it is needed, so that they
may be larger than memory.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from devae_jax.data import cache, table
from devae_jax.data.foreign import UNREADABLE, check_room, inside, load_numpy
from devae_jax.data.labels import table_of, with_factors
from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset

HDF5 = (".h5", ".hdf5")
PROBES = 64  # images that are hashed of a file that is not read whole


class NamesError(ValueError):
    """A file whose arrays can not be told apart."""


class Content(NamedTuple):
    """images uint8 [N, H, W] or [N, H, W, C], in memory or on disk; factors [N, F], names [F]."""

    images: Any
    factors: np.ndarray | None = None
    names: tuple[str, ...] | None = None


def load(request: Request) -> Dataset:
    """The images uint8 [N, H, W] or [N, H, W, C] of the .npy, .npz or .h5 file `path`.

    An .npz or .h5 file holds one array, or one called "images"; its "factors" [N, F] and
    "factor_names" [F] are optional. Pickled objects and links to other files are never loaded.
    `image_size` smaller than H averages blocks of pixels, exactly.
    Raises ValueError for a missing or damaged file, for other types and shapes, and for factors
    that do not fit.
    """
    path, content = _content(request, "arrays", mapped=False)
    images = content.images
    _check_range(path, images.max())
    native = _native(images)
    shape = table.resized(native, request.image_size)
    dataset = Dataset(
        name="arrays",
        image_shape=shape,
        size=len(images),
        identity=_identity("arrays", images, shape, cache.sha256(images)),
        arrays=jnp.asarray(images.reshape(len(images), -1)),
        observe=table.lookup(native, shape),
    )
    return _labelled(dataset, content, path, request)


def mapped(request: Request) -> Dataset:
    """As `load`, of an .npy or .h5 file that stays on disk; for data.source.kind="stream".

    `image_size` is that of the file. The identity hashes 64 of the images, of which one at
    least must be brighter than 1.
    """
    path, content = _content(request, "mapped", mapped=True)
    images = content.images
    shape = _native(images)
    if request.image_size not in (None, shape[0]):
        raise ValueError(
            f"got data.image_size={request.image_size} for 'mapped', whose images are "
            f"{shape[0]} pixels high, expected {shape[0]}; fix it, or resize the file"
        )
    probes = np.unique(np.linspace(0, len(images) - 1, PROBES).astype(int))
    digest, brightest = hashlib.sha256(), 0
    for number in probes.tolist():
        image = np.ascontiguousarray(images[number])
        brightest = max(brightest, int(image.max()))
        digest.update(image.tobytes())
    _check_range(path, brightest)

    def read(number: int) -> np.ndarray:
        return np.asarray(images[number]).reshape(shape)

    dataset = Dataset(
        name="mapped",
        image_shape=shape,
        size=len(images),
        identity=_identity("mapped", images, shape, digest.hexdigest()),
        read=read,
    )
    return _labelled(dataset, content, path, request)


def _content(request: Request, name: str, *, mapped: bool) -> tuple[Path, Content]:
    refuse(request, name, "factors", "channels")
    suffixes = (".npy", *HDF5) if mapped else (".npy", ".npz", *HDF5)
    kinds = f"{', '.join(suffixes[:-1])} or {suffixes[-1]} file"
    if not request.path:
        raise ValueError(f"got no data.path for {name!r}, expected an {kinds}; set data.path")
    path = Path(request.path).expanduser()
    if not path.is_file():
        raise ValueError(f"got no file {path}, expected an {kinds}; fix data.path")
    if path.suffix not in suffixes:
        raise ValueError(f"got {path} for {name!r}, expected an {kinds}; convert it")
    try:
        content = _hdf5(path, mapped) if path.suffix in HDF5 else _numpy(path, mapped)
    except NamesError as error:
        raise ValueError(f"got {path} {error}") from error
    except UNREADABLE as error:
        raise ValueError(
            f"got unreadable {path} ({error}), expected an {kinds} of uint8 images; write it again"
        ) from error
    return path, _checked(path, content)


def _numpy(path: Path, mapped: bool) -> Content:
    found = load_numpy(path, mapped=mapped)
    if isinstance(found, np.ndarray):
        return Content(found)
    with found:
        return _named(found, list(found.files), mapped)


def _hdf5(path: Path, mapped: bool) -> Content:
    """The arrays of an HDF5 file, which stays open where images are read from it later."""
    import h5py

    file = h5py.File(path, "r")
    try:
        every = {name: inside(file, name) for name in file}
        found = {name: item for name, item in every.items() if isinstance(item, h5py.Dataset)}
        for name, array in found.items():
            if not mapped or name == "factors":
                check_room(array.nbytes, name)
        content = _named(found, list(found), mapped)
    except BaseException:
        file.close()
        raise
    if not mapped:
        file.close()
    return content


def _named(file: Any, names: list[str], mapped: bool) -> Content:
    """The arrays of a file by their names."""
    others = [name for name in names if name not in ("factors", "factor_names")]
    name = others[0] if len(others) == 1 else "images"
    if name not in others:
        raise NamesError(
            f"with {', '.join(names)}, expected one array, or one called images; rename the "
            "array of the images"
        )
    factors = np.asarray(file["factors"]) if "factors" in names else None
    called = None
    if "factor_names" in names:
        words = np.asarray(file["factor_names"])
        called = tuple(w.decode() if isinstance(w, bytes) else str(w) for w in words.ravel())
    return Content(file[name] if mapped else np.asarray(file[name]), factors, called)


def _checked(path: Path, content: Content) -> Content:
    images = content.images
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] <= 4)
    if images.dtype != np.uint8 or not shaped or not images.size:
        raise ValueError(
            f"got {images.dtype} {list(images.shape)} in {path}, expected images uint8 [N, H, W] "
            "or [N, H, W, C] with up to 4 channels, from 0 to 255; convert them"
        )
    factors = content.factors
    if factors is not None and len(factors) != len(images):
        raise ValueError(
            f"got {len(factors)} rows of factors for {len(images)} images in {path}, expected as "
            "many; fix the file"
        )
    return content


def _check_range(path: Path, brightest: int) -> None:
    if brightest <= 1:
        raise ValueError(
            f"got intensities up to {brightest} in {path}, expected 0 to 255; "
            "multiply the images by 255"
        )


def _native(images: Any) -> tuple[int, int, int]:
    return (*images.shape[1:3], images.shape[3] if images.ndim == 4 else 1)


def _identity(name: str, images: Any, shape: tuple[int, int, int], digest: str) -> dict[str, Any]:
    return {"name": name, "images": len(images), "image_shape": list(shape), "sha256": digest}


def _labelled(dataset: Dataset, content: Content, path: Path, request: Request) -> Dataset:
    if content.factors is None:
        refuse(request, dataset.name, "continuous")
        return dataset
    width = content.factors.shape[1] if content.factors.ndim == 2 else 1
    names = content.names or tuple(f"factor_{i}" for i in range(width))
    return with_factors(dataset, table_of(content.factors, names, str(path), request.continuous))
