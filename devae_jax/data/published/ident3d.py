"""3DIdent and Causal3DIdent: a teapot, or seven objects, with continuous factors.

Zimmermann et al. 2021 and von Kügelgen et al. 2021. An archive or folder of one half holds
images/NNNNNN.png and raw_latents.npy, or of each class c images_c/NNNNN.png and raw_latents_c.npy:
a row [10] for each number. The layout and the order of the factors are those of the loaders and
the generator in brendel-group/cl-ica and ysharma1126/ssl_identifiability.
"""

import io
import re
from functools import partial
from pathlib import Path

import numpy as np

from devae_jax.data.known import File, OtherDataError, reading
from devae_jax.data.published.archive import Archive, opened
from devae_jax.data.published.kind import Kind, Raw

CLASS = "object_class"
FACTORS = (
    *("x_position", "y_position", "z_position"),
    *("alpha_rotation", "beta_rotation", "gamma_rotation"),
    *("spotlight_position", "object_hue", "spotlight_hue", "background_hue"),
)
PICTURE = re.compile(r"(?:^|/)images(?:_(\d+))?/(\d+)\.png$")


def read(path: Path, kind: Kind) -> Raw:
    """The pictures of all classes in `path`, with the rows of their factors."""
    archive = opened(path)
    classes = [str(c) for c in range(kind.sizes[0])] if CLASS in kind.factors else [""]
    rows = {c: _latents(archive, c) for c in classes}
    labels, names, seen = [], [], set()
    for name in archive.names:
        found = PICTURE.search(name)
        if found:
            group, number = found[1] or "", int(found[2])
            if group not in rows or number >= len(rows[group]) or (group, number) in seen:
                raise OtherDataError(
                    f"got {name} in {path}, a picture without a row of factors of its own, "
                    "expected one; take one half of the data set, as it was published"
                )
            seen.add((group, number))
            names.append(name)
            labels.append([*map(float, classes[1:] and [group]), *rows[group][number]])
    count = sum(map(len, rows.values()))
    if len(names) != count:
        raise OtherDataError(
            f"got {len(names):,} pictures for {count:,} rows of factors in {path}, expected as "
            "many; the file is incomplete, download it again"
        )
    return Raw(np.array(labels), archive.pictures(names))


def _latents(archive: Archive, group: str) -> np.ndarray:
    """The factors [N, 10] of a class, or of all pictures."""
    name = archive.the(f"raw_latents_{group}.npy" if group else "raw_latents.npy", "one half")
    with reading(archive.path, name):
        rows = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
        if rows.ndim != 2 or rows.shape[1] != len(FACTORS) or rows.dtype.kind != "f":
            raise OtherDataError(
                f"got {rows.dtype} {list(rows.shape)} in {name} of {archive.path}, expected "
                f"numbers [N, {len(FACTORS)}]; this is not the published layout"
            )
    return rows.astype(np.float64)


_kind = partial(Kind, channels=3, read=read, grid=False)
KINDS = {
    "3dident": _kind(
        dict.fromkeys(FACTORS, 0),
        path="3dident_train.tar or 3dident_test.tar, or the folder of one",
        url="https://zenodo.org/record/4502485",
        files={
            "3dident_train.tar": File("md5", "df132b4dacf04fa28e1c8ca9d2168634"),
            "3dident_test.tar": File("md5", "35020bca16c9faa80cf0c926d265d678"),
        },
    ),
    "causal3dident": _kind(
        {CLASS: 7, **dict.fromkeys(FACTORS, 0)},
        path="trainset.tar.gz or testset.tar.gz, or the folder of one",
        url="https://zenodo.org/record/4784282",
        files={
            "trainset.tar.gz": File("md5", "acd98fda30eee75856dbbc7c54a27e45"),
            "testset.tar.gz": File("md5", "c5d9d32d3737e241a2b12b968275fcb8"),
        },
    ),
}
