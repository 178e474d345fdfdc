"""Tiny files in the layouts in which data sets are published, made of noise.

Each function writes those of a data set that is cut down to `kind`, and gives the path that the
user names, the images uint8 [N, H, W, C] and their factors [N, F], as values from 0 where they are
discrete.
"""

import gzip
import io
import struct
import tarfile

import numpy as np

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
