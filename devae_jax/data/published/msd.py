"""The pictures of the MSD benchmark, frame by frame, from Parquet files (Barami et al. 2025).

A row has a sequence of pictures `x`, each a struct with its PNG file in `bytes`, and the number of
the class of each factor; a factor that ends in _dynamic is how another one changes. The columns are
those of the data sets' cards on Hugging Face and of azencot-group/MSD-Benchmark's generators.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.data.known import OtherDataError, reading
from devae_jax.data.published.kind import Kind, Picture, Raw

ROWS = 64  # sequences read at a time
FRAME = "frame"


def read(path: Path, kind: Kind) -> Raw:
    """The frames of the sequences in all Parquet files under the folder `path`, or in that file."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise OtherDataError(f"got no .parquet files in {path}, expected {kind.path}; fix the path")
    columns, length = [name for name in kind.names if name != FRAME], kind.factors[FRAME]
    parts = []
    for file in files:
        with reading(file), _opened(file) as parquet:
            missing = sorted({*columns, "x"} - set(parquet.schema_arrow.names))
            if missing:
                raise OtherDataError(
                    f"got {file} without {', '.join(missing)}, expected the columns x, "
                    f"{', '.join(columns)}; this is another data set"
                )
            table = parquet.read(columns=columns)
            parts.append(np.stack([table[name].to_numpy() for name in columns], 1))
    labels = np.concatenate(parts)
    frames = np.tile(np.arange(length), len(labels))
    return Raw(np.c_[np.repeat(labels, length, 0), frames], _frames(files, length))


def _frames(files: list[Path], length: int) -> Iterator[list[Picture]]:
    for file in files:
        with reading(file), _opened(file) as parquet:
            for batch in parquet.iter_batches(ROWS, columns=["x"]):
                pictures = []
                for sequence in batch["x"].to_pylist():
                    if len(sequence) != length:
                        raise OtherDataError(
                            f"got a sequence of {len(sequence)} frames in {file}, expected "
                            f"{length}; this is another data set"
                        )
                    pictures += [(f"a frame in {file}", frame["bytes"]) for frame in sequence]
                yield pictures


def _opened(file: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise OtherDataError(
            "got no pyarrow, expected it for Parquet files; pip install 'devae_jax[parquet]'"
        ) from error
    return ParquetFile(file)


def _kind(name: str, **factors: int) -> Kind:
    return Kind(
        factors=factors,
        channels=3,
        path="the folder of all its .parquet files: train, val and test",
        read=read,
        url=f"https://huggingface.co/datasets/TalBarami/{name}",
    )


_hues = partial(_kind, floor_hue=10, wall_hue=10, object_hue=10, shape=4)
KINDS = {
    "msd_sprites": _kind("msd_sprites", movement=9, body=6, bottom=6, top=6, hair=6, frame=8),
    "msd_dsprites_static": _kind(
        "msd_dsprites_static",
        color=9,
        shape=3,
        posX=8,
        posY=8,
        scale_dynamic=6,
        orientation_dynamic=3,
        frame=16,
    ),
    "msd_dsprites_dynamic": _kind(
        "msd_dsprites_dynamic",
        color=9,
        shape=3,
        scale=6,
        orientation=5,
        posX_dynamic=6,
        posY_dynamic=6,
        frame=12,
    ),
    "msd_3dshapes": _hues("msd_3dshapes", scale_dynamic=6, orientation_dynamic=3, frame=10),
}
