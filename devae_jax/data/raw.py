"""Readers of the published files of dSprites and Shapes3D: HDF5, npz and tfds."""

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.data import known
from devae_jax.data.foreign import UNREADABLE, array_inside, check_room, load_numpy
from devae_jax.data.known import File, OtherDataError
from devae_jax.data.real import KINDS, Raw


def read(path: str | os.PathLike, *, verify: bool = True) -> Raw:
    """The data set in an HDF5 or npz file; which one is seen from its contents.

    verify: an HDF5 file must be the published one, byte for byte
    Raises ValueError for a missing, truncated, altered or foreign file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"got no file {path}, expected an .hdf5, .h5 or .npz file; fix the path")
    try:
        return _npz(path) if path.suffix == ".npz" else _hdf5(path, verify)
    except OtherDataError:
        raise
    except UNREADABLE as error:
        raise ValueError(
            f"got unreadable {path} ({error}), expected a whole HDF5 or npz file; "
            "the download is probably truncated, repeat it"
        ) from error


def _hdf5(path: Path, verify: bool) -> Raw:
    import h5py

    file = h5py.File(path, "r")
    groups = {n: {key.partition("/")[0] for key in kind.keys} for n, kind in KINDS.items()}
    name = next((n for n, keys in groups.items() if keys <= set(file)), None)
    if name is None:
        raise OtherDataError(
            f"got {path} with {', '.join(file)}, expected "
            f"{' or '.join(' and '.join(kind.keys) for kind in KINDS.values())}; "
            "this is another data set"
        )
    kind = KINDS[name]
    if verify:
        known.verify(path, File("sha256", kind.sha256, kind.size), name, kind.url)
    images, labels = (array_inside(file, key) for key in kind.keys)
    check_room(labels.nbytes, kind.keys[1])
    return _raw(name, images, labels[()], len(kind.grid.names))


def _npz(path: Path) -> Raw:
    with load_numpy(path) as file:  # never the pickled metadata
        if not {"imgs", "latents_classes"} <= set(file.files):
            raise OtherDataError(
                f"got {path} with {', '.join(file.files)}, expected imgs and latents_classes; "
                "this is another data set"
            )
        images, labels = file["imgs"], file["latents_classes"]
    return _raw("dsprites", images, labels, len(KINDS["dsprites"].grid.names))


def _raw(name: str, images: Any, labels: np.ndarray, width: int) -> Raw:
    if labels.ndim == 2:
        labels = labels[:, max(labels.shape[1] - width, 0) :]  # dSprites' colour, always white
    return Raw(name, labels, images.shape, lambda start, stop: images[start:stop])


def from_tfds(name: str, tfds_dir: str | os.PathLike | None = None) -> Raw:
    """The data set from tfds: its prepared ArrayRecord files, else its verified download.

    tfds_dir: where tfds keeps its data sets, by default ~/tensorflow_datasets
    Needs no TensorFlow. Raises ValueError if the data can not be had.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=tfds_dir)
        if builder.is_prepared():
            with contextlib.suppress(NotImplementedError):  # TFRecord: use the file it came from
                return from_records(name, builder)
        downloads = Path(builder.data_dir_root) / "downloads"
        manager = tfds.download.DownloadManager(
            download_dir=downloads,
            manual_dir=downloads / "manual",
            url_infos=builder.url_infos,
            dataset_name=name,
            force_checksums_validation=True,
        )
    except OSError as error:
        raise ValueError(
            f"got --tfds_dir={tfds_dir} ({error.strerror or error}), expected a folder for tfds to "
            "read and write; choose another"
        ) from error
    (url,) = builder.url_infos
    try:
        path = manager.download(url)
    except Exception as error:  # of the network, the server, the disk or the checksum
        raise ValueError(
            f"got {type(error).__name__} from {url} ({error}), expected the published file; "
            "download it by other means and pass --from=FILE"
        ) from error
    return read(path)


def from_records(name: str, builder: Any) -> Raw:
    """A data set that tfds has prepared as ArrayRecord, with the stock feature names."""
    import tensorflow_datasets as tfds

    labels = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    images = builder.as_data_source("train")
    keys = [f"label_{factor}" for factor in KINDS[name].grid.names]
    columns = [[int(record[key]) for key in keys] for record in labels]
    return Raw(
        name,
        np.array(columns),
        (len(columns), *builder.info.features["image"].shape),
        lambda start, stop: np.stack(
            [record["image"] for record in images.__getitems__(range(start, stop))]
        ),
    )
