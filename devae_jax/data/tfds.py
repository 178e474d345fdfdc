"""Prepared tfds data sets in ArrayRecord format, without TensorFlow, with their factors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.data.labels import table_of, with_factors
from devae_jax.data.pictures import path_of, shape_of, square
from devae_jax.data.request import Request, refuse
from devae_jax.files import parsed
from devae_jax.types import Dataset, FactorTable

FEATURES = "tensorflow_datasets.core.features."  # where tfds has its own classes
CLASSES = ("pythonClassName", "python_class_name", "type")  # keys of a class; the last of old files


def records(request: Request, split: str = "train") -> Dataset:
    """The images of a tfds data set, prepared with file_format="array_record" in `path`.

    path: the folder of one version, such as ~/tensorflow_datasets/celeb_a/2.1.0
    Its classes, truth values and numbers, at any depth, are the factors; of label_x and value_x,
    as the stock builders have them, the label alone.
    Raises ValueError if it is not there, is in another format, or has no images.
    """
    import tensorflow_datasets as tfds

    refuse(request, "records", "factors")
    path = path_of(request, "records", "the folder of a prepared tfds data set, name/version")
    check_features(path)
    return _opened(lambda: tfds.builder_from_directory(path), f"in {path}", request, split)


def prepared(name: str, request: Request, split: str = "train") -> Dataset:
    """As `records`, by its name, "mnist", "mnist:3.0.1" or "name/config", of any prepared set.

    `path` is the folder in which tfds keeps its data sets; empty: tfds' own.
    Raises ValueError as `records`, and where there is no set of that name.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.utils import error_utils

    refuse(request, f"tfds:{name}", "factors")
    options = {"data_dir": Path(request.path).expanduser()} if request.path else {}
    place = request.path or tfds.core.constants.DATA_DIR
    try:
        # What `builder_from_files` does, with a look at the files between its two steps.
        with error_utils.record_error_context():
            found = read_only_builder._find_builder_dir(name, **options)
        if found is None:
            raise FileNotFoundError(name)
    except (tfds.core.DatasetNotFoundError, OSError, ValueError) as error:
        raise ValueError(
            f"got no prepared tfds data set {name!r} in {place}, expected its files; prepare it "
            f"with `tfds build {name.split('/')[0]} --file_format=array_record`, or set data.path "
            "to the folder of tfds' data sets"
        ) from error
    check_features(Path(found))
    return _opened(lambda: tfds.builder_from_directory(found), name, request, split)


def check_features(path: Path) -> None:
    """That features.json of a prepared set names tfds' own classes of features alone.

    tfds imports the module of any other: opening a folder would run a stranger's code.

    Raises:
      ValueError: it names another, or cannot be read; says which.
    """
    try:
        names = sorted(_classes(parsed((path / "features.json").read_text())))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"got no readable tfds data set in {path} (features.json: {error}), expected one "
            "prepared with file_format='array_record'; fix data.path"
        ) from error
    if foreign := [name for name in names if not name.startswith(FEATURES)]:
        raise ValueError(
            f"got {path}/features.json that needs {', '.join(foreign)[:200]}, expected classes in "
            f"{FEATURES} alone, as opening it runs them; take another data set"
        )


def _classes(value: Any) -> set[str]:
    """The names of classes in features.json, under every key that tfds knows for them."""
    if isinstance(value, list):
        return set().union(*map(_classes, value))
    if not isinstance(value, dict):
        return set()
    own = {str(value[key]) for key in CLASSES if key in value and type(value[key]) is str}
    return own.union(*map(_classes, value.values()))


def _opened(open_builder: Callable[[], Any], where: str, request: Request, split: str) -> Dataset:
    """The images and factors of a prepared data set."""
    from PIL import Image

    try:
        builder = open_builder()
        if builder.info.file_format.value != "array_record":
            raise ValueError(
                f"it is in the format {builder.info.file_format.value}; convert it with `tfds "
                f"convert_format --dataset_version_dir={builder.data_path} "
                "--out_file_format=array_record`"
            )
        examples = builder.as_data_source(split)
    except Exception as error:  # tfds and protobuf raise many kinds for a damaged folder
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(
            f"got no readable tfds data set {where} ({reason}), expected one prepared with "
            "file_format='array_record'; fix data.path"
        ) from error
    if "image" not in builder.info.features:
        raise ValueError(
            f"got tfds data {where} with {', '.join(builder.info.features)}, expected a feature "
            "'image'; take another data set"
        )
    shape = shape_of(request, "records", builder.info.features["image"].shape[-1])

    def read(number: int) -> np.ndarray:
        return square(Image.fromarray(examples[number]["image"].squeeze()), shape)

    identity = {
        "name": builder.info.full_name,
        "images": len(examples),
        "image_shape": list(shape),
        "split": split,
    }
    dataset = Dataset(
        name=builder.info.name,
        image_shape=shape,
        size=len(examples),
        identity=identity,
        read=read,
    )
    table = _features(builder, split, request.continuous)
    return dataset if table is None else with_factors(dataset, table)


def _features(builder: Any, split: str, continuous: Sequence[str]) -> FactorTable | None:
    """The classes, truth values and numbers of all examples; None where there are none."""
    import tensorflow_datasets as tfds

    def scalars(features: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if isinstance(features, tfds.features.FeaturesDict):
            return [p for key in features for p in scalars(features[key], (*path, key))]
        numeric = features.shape == () and np.dtype(features.np_dtype).kind in "iufb"
        return [path] if numeric else []

    paths = scalars(builder.info.features)
    names = {"/".join(path).removeprefix("label_"): path for path in sorted(paths)}
    for name in list(names):
        if name.removeprefix("value_") != name and ("label_" + name[6:],) in paths:
            del names[name]
    if not names:
        return None
    skip = {"image": tfds.decode.SkipDecoding()}
    rows = []
    for example in builder.as_data_source(split, decoders=skip):
        row = []
        for path in names.values():
            leaf = example
            for key in path:
                leaf = leaf[key]
            row.append(float(leaf))
        rows.append(row)
    varies = np.ptp(np.array(rows), axis=0) > 0
    if not varies.any():
        return None
    varying = [name for name, v in zip(names, varies, strict=True) if v]
    return table_of(np.array(rows)[:, varies], varying, builder.info.full_name, continuous)
