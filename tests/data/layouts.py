"""Tiny files in the layouts in which data sets are published, made of noise.

Each function writes those of a data set that is cut down to `kind`, and gives the path that the
user names, the images uint8 [N, H, W, C] and their factors [N, F], as values from 0 where they are
discrete.
"""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

from devae_jax.data.published.kind import combinations


def noise(count, side, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def mpi3d(folder, kind):
    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 3)
    np.savez(folder / "mpi3d.npz", images=images)
    return folder / "mpi3d.npz", images, labels


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def cars3d(folder, kind):
    from scipy.io import savemat

    elevations, azimuths, cars = kind.sizes
    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 3)
    by_side = images.reshape(elevations, azimuths, cars, 8, 8, 3)
    names = [f"car_{(3 * i + 1) % cars:03}_mesh" for i in range(cars)]  # not in alphabetic order
    path = folder / "analogies.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "data/sprites/list.txt", b"other\n")
        for number, name in sorted(enumerate(names), key=lambda pair: pair[1]):
            mesh = io.BytesIO()
            image = by_side[:, :, number].transpose(2, 3, 4, 1, 0)
            savemat(mesh, {"im": image, "mask": image[:, :, 0]})
            add(tar, f"data/cars/{name}.mat", mesh.getvalue())
        add(tar, "data/cars/list.txt", "\n".join(names).encode())
    return path, images, labels


def matrix(values):
    """SmallNORB's binary format."""
    magic = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54}[values.dtype.str[1:]]
    sizes = [*values.shape, *[1] * (3 - values.ndim)]
    header = struct.pack(f"<ii{len(sizes)}i", magic, values.ndim, *sizes)
    return header + values.tobytes()


def smallnorb(folder, kind):
    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 1)
    azimuth = kind.names.index("azimuth")
    even = labels.copy()
    even[:, azimuth] *= 2  # 0, 2, 4, … in the files
    order = np.random.default_rng(1).permutation(len(labels))
    halves = {"5x46789x9x18x6x2x96x96-training": 1, "5x01235x9x18x6x2x96x96-testing": 0}
    for half, parity in halves.items():
        rows = order[labels[order, 1] % 2 == parity]
        pair = np.stack([images[rows, ..., 0], 255 - images[rows, ..., 0]], 1)
        parts = {"dat": pair, "cat": even[rows, 0].astype("<i4")}
        parts["info"] = np.ascontiguousarray(even[rows, 1:], "<i4")
        for part, values in parts.items():
            path = folder / f"smallnorb-{half}-{part}.mat"
            if parity:  # as they come, the others unpacked
                path.with_suffix(".mat.gz").write_bytes(gzip.compress(matrix(values)))
            else:
                path.write_bytes(matrix(values))
    return folder, images, labels


def picture(image, kind="PNG"):
    """An image as the bytes of a picture file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return content.getvalue()


def numbered(folder, kind):
    """Falcor3D and Isaac3D."""
    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 3)
    inner = folder / "images"
    inner.mkdir()
    for number, image in enumerate(images):
        (inner / f"{number:06}.png").write_bytes(picture(image))
    return folder, images, labels


def npy(values):
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def ident3d(folder, kind, classes=("",), half="3dident/train"):
    rng = np.random.default_rng(2)
    images, labels = noise(12 * len(classes), 8, 3), []
    path = folder / f"{half.rpartition('/')[2]}.tar"
    with tarfile.open(path, "w") as tar:
        for i, group in enumerate(classes):
            rows = rng.uniform(-1, 1, (12, 10)).astype(np.float32)
            labels += [np.r_[[i][: len(classes) - 1], row] for row in rows]
            for number in rng.permutation(12):
                name = f"{half}/images{group}/{number:02}.png"
                add(tar, name, picture(images[12 * i + number]))
            add(tar, f"{half}/raw_latents{group}.npy", npy(rows))
            add(tar, f"{half}/latents{group}.npy", npy(2 * rows))
    return path, images, np.array(labels)


def causal3dident(folder, kind):
    return ident3d(folder, kind, tuple(f"_{i}" for i in range(kind.sizes[0])), "trainset")


def celeba(folder, kind):
    rng = np.random.default_rng(3)
    attributes = rng.integers(0, 2, (30, len(kind.names)))
    files = {f"{i + 1:06}.jpg": picture(image, "JPEG") for i, image in enumerate(tall(30))}
    lines = [f"{len(files)}", " ".join(kind.names) + " "]
    for file, row in zip(files, attributes, strict=True):
        lines.append(f"{file} " + " ".join(f"{2 * value - 1:2}" for value in row))
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for file in reversed(files):
            archive.writestr(f"img_align_celeba/{file}", files[file])
    decoded = [np.asarray(Image.open(io.BytesIO(content))) for content in files.values()]
    return folder, np.stack(decoded)[:, 1:9], attributes  # the central square


def tall(count):
    return np.random.default_rng(4).integers(0, 256, (count, 10, 8, 3), np.uint8)


def sprites(folder, kind):
    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 3)
    worn, (actions, directions, length) = kind.sizes[:4], kind.sizes[4:]
    figures = combinations(worn)
    sequences = images.reshape(len(figures), actions, directions, length, 8, 8, 3)
    one_hot = np.eye(max(worn), dtype=np.float32)[figures]
    order = np.random.default_rng(5).permutation(len(figures))
    for i, action in enumerate(("walk", "spellcard", "slash")):
        for j, direction in enumerate(("front", "left", "right")):
            for half, rows in (("train", order[:10]), ("test", order[10:])):
                stem = f"{action}_{direction}"
                frames = sequences[rows, i, j].astype("f") / 256
                np.save(folder / f"{stem}_frames_{half}.npy", frames)
                attributes = np.repeat(one_hot[rows, None], length, 1)
                np.save(folder / f"{stem}_attributes_{half}.npy", attributes)
    return folder, images, labels


def msd(folder, kind):
    import pyarrow
    from pyarrow import parquet

    labels = combinations(kind.sizes)
    images = noise(len(labels), 8, 3)
    length = kind.sizes[-1]
    sequences = images.reshape(-1, length, 8, 8, 3)
    rows = labels[::length]
    order = np.random.default_rng(6).permutation(len(rows))
    for half, chosen in (("train", order[:30]), ("test", order[30:])):
        columns = {"id": pyarrow.array(chosen.astype(np.int32))}
        columns["x"] = [
            [{"bytes": picture(frame), "path": None} for frame in sequences[number]]
            for number in chosen
        ]
        for name, column in zip(kind.names[:-1], rows.T, strict=False):
            columns[name] = pyarrow.array(column[chosen])
        (folder / "data").mkdir(exist_ok=True)
        parquet.write_table(pyarrow.table(columns), folder / f"data/{half}-00000.parquet")
    return folder, images, labels
