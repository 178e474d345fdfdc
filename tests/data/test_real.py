"""The real data sets, on small files in the published layout, through files and tfds."""

import contextlib

import h5py
import numpy as np
import pytest

from devae_jax import data
from devae_jax.data import builder, cache, raw, real
from devae_jax.data import factors as fg
from tests.launch.commands import call

pytestmark = pytest.mark.xdist_group("real_files")  # what its tests share is made once

KEPT = {
    "dsprites": {
        "scale": [0, 5],
        "orientation": [3, 17],
        "x_position": [0, 9, 31],
        "y_position": [2, 8],
    },
    "shapes3d": {"floor_hue": [1, 2], "wall_hue": [0, 5], "object_hue": [3, 8], "scale": [0, 7]}
    | {"shape": [0, 1, 2], "orientation": [0, 14]},
}
RENDERED = {"dsprites": "dsprites_regen", "shapes3d": "shapes3d_like"}


@pytest.fixture(scope="module", params=["dsprites", "shapes3d"])
def small(request, cache_dir):
    """A rendered subset: (real name, its images uint8 in grid order, data set)."""
    name = request.param
    request = data.Request(data_dir=cache_dir, factors=KEPT[name], progress=False)
    dataset = data.load(RENDERED[name], request)
    images = data.images_of(dataset, np.arange(dataset.size))
    white = 1 if name == "dsprites" else 255
    return name, np.round(images * white).astype(np.uint8), dataset


def published(name, images, path, replaced=None):
    """Writes the images as the published HDF5 or npz file, its rows in any order."""
    module = builder.MODULES[RENDERED[name]]
    kept = fg.subset(module.GRID, KEPT[name])
    values = [v[k] for v, k in zip(module.VALUES, kept.values, strict=True)]
    labels = np.stack(np.meshgrid(*values, indexing="ij"), -1).reshape(-1, len(values))
    classes = np.stack(np.meshgrid(*kept.values, indexing="ij"), -1).reshape(-1, len(values))
    order = np.random.default_rng(0).permutation(len(images))
    if name == "dsprites":
        colour = np.zeros((len(images), 1), np.int64)
        content = {
            "imgs": images[order, ..., 0],
            "latents/classes": np.hstack([colour, classes])[order],
            "latents/values": np.hstack([colour + 1, labels])[order],
        }
    else:
        content = {"images": images[order], "labels": labels[order]}
    content |= replaced or {}
    if path.suffix == ".npz":
        np.savez(path, **{key.replace("/", "_"): value for key, value in content.items()})
    else:
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                file[key] = value
    return path


def assert_loads_as(small, folder):
    name, images, rendered = small
    dataset = data.load(name, data.Request(data_dir=folder))
    assert dataset.size == len(images)
    assert dataset.grid == rendered.grid
    assert dataset.name == dataset.identity["name"] == name
    white = 1 if name == "dsprites" else 255
    seen = data.images_of(dataset, np.arange(len(images)))
    np.testing.assert_allclose(seen * white, images, atol=1e-4)
    request = data.Request(data_dir=folder, factors={"scale": [1]}, image_size=32)
    part = data.load(name, request)
    assert part.grid.names == tuple(n for n in dataset.grid.names if n != "scale")
    assert part.image_shape[:2] == (32, 32)
    kept = images.reshape(*dataset.grid.sizes, *images.shape[1:])
    kept = kept.take(1, dataset.grid.names.index("scale")).reshape(
        -1, 32, 2, 32, 2, images.shape[-1]
    )
    means = data.images_of(part, np.arange(len(kept))) * white
    np.testing.assert_allclose(means, kept.mean((2, 4)), atol=1e-4)


def test_from_file(small, tmp_path):
    name, images, _ = small
    for suffix in (".hdf5", ".npz") if name == "dsprites" else (".hdf5",):
        path = published(name, images, tmp_path / f"file{suffix}")
        real.prepare(raw.read(path, verify=False), data_dir=tmp_path, any_grid=True, progress=False)
        assert_loads_as(small, tmp_path)


def test_from_tfds_records(small, cache_dir, tmp_path):
    name, _, _ = small
    made = builder.Rendered(
        RENDERED[name], data_dir=tmp_path, factors=KEPT[name], cache_dir=cache_dir
    )
    with contextlib.redirect_stdout(None):
        made.download_and_prepare()
    stock = real.KINDS[name].grid.names
    assert set(made.info.features) == {"image"} | {
        f"{kind}_{factor}" for kind in ("label", "value") for factor in stock
    }
    # The files of the stock builder, prepared elsewhere, differ in name and version only.
    folder = tmp_path / name / "2.0.0"
    made.data_path.parent.rename(folder.parent)
    (folder.parent / "1.0.0").rename(folder)
    for file in list(folder.iterdir()):
        if file.suffix == ".json":
            text = file.read_text().replace(RENDERED[name], name)
            file.write_text(text.replace("1.0.0", "2.0.0"))
        file.rename(folder / file.name.replace(RENDERED[name], name))
    found = raw.from_tfds(name, tmp_path)
    assert (np.diff(found.labels, axis=0) < 0).any()  # tfds shuffles
    real.prepare(found, data_dir=tmp_path, any_grid=True, progress=False)
    assert_loads_as(small, tmp_path)


def test_stock_builder_downloads_a_verified_file(small, tmp_path, monkeypatch):
    """tfds fetches the file; a server that gives another one is found out."""
    import tensorflow_datasets as tfds

    name, images, _ = small
    path = published(name, images, tmp_path / "file.hdf5")
    fetched = []

    def download(self, url):
        fetched.append(url)
        return path

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    with pytest.raises(ValueError, match="the published"):
        raw.from_tfds(name, tmp_path / "tfds")
    kind = real.KINDS[name]
    sha256 = cache.hashlib.sha256(path.read_bytes()).hexdigest()
    known = {name: kind._replace(size=path.stat().st_size, sha256=sha256)}
    monkeypatch.setattr(raw, "KINDS", known)
    found = raw.from_tfds(name, tmp_path / "tfds")
    assert found.name == name and len(found.labels) == len(images)
    assert len(set(fetched)) == 1
    monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda self, url: 1 / 0)
    with pytest.raises(ValueError, match=r"ZeroDivisionError from http.* pass --from=FILE"):
        raw.from_tfds(name, tmp_path / "tfds")


def test_bad_files(small, tmp_path):
    name, images, _ = small
    path = published(name, images, tmp_path / "file.hdf5")
    key, labels = real.KINDS[name].keys

    def prepare(replaced, any_grid=True):
        path = published(name, images, tmp_path / "bad.hdf5", replaced)
        found = raw.read(path, verify=False)
        real.prepare(found, data_dir=tmp_path, any_grid=any_grid, progress=False)

    with pytest.raises(ValueError, match=r"expected .* bytes and .*, the published"):
        raw.read(path)
    with pytest.raises(ValueError, match="no file"):
        raw.read(tmp_path / "absent.hdf5")
    with pytest.raises(ValueError, match="incomplete, download it again"):
        prepare({}, any_grid=False)
    with pytest.raises(ValueError, match=r"expected uint8 \[64, 64, "):
        prepare({key: images[:, :32]})
    with pytest.raises(ValueError, match="float32 images"):
        prepare({key: images.astype(np.float32)})
    with h5py.File(path) as file:
        good = file[labels][:]
    repeated = np.sort(good, 0)
    repeated[0] = repeated[1]
    with pytest.raises(ValueError, match=r"missing and .* repeated"):
        prepare({labels: repeated})
    with pytest.raises(ValueError, match="expected \\[N, "):
        prepare({labels: good[:, :3]})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="probably truncated"):
        raw.read(path, verify=False)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".*"))


def test_grey_sprites_are_refused(tmp_path, cache_dir):
    request = data.Request(factors=KEPT["dsprites"], progress=False)
    part = data.load("dsprites_regen", request)
    images = np.unpackbits(np.asarray(part.arrays), axis=1).reshape(-1, 64, 64, 1) * 255
    path = published("dsprites", images, tmp_path / "grey.npz")
    with pytest.raises(ValueError, match="intensities up to 255, expected 0 to 1"):
        real.prepare(raw.read(path), data_dir=tmp_path, any_grid=True, progress=False)


def test_foreign_files(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["faces"] = np.zeros(3)
    np.savez(tmp_path / "other.npz", faces=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    for name in ("other.h5", "other.npz"):
        with pytest.raises(ValueError, match=r"got .* with faces, expected .* another data set"):
            raw.read(tmp_path / name)
    with pytest.raises(ValueError, match="probably truncated"):
        raw.read(tmp_path / "broken.npz")


@pytest.mark.parametrize("name", ["dsprites", "shapes3d"])
def test_load_says_how_to_prepare(name, tmp_path):
    with pytest.raises(ValueError, match=rf"prepare_data.py --from=FILE.*{RENDERED[name]}"):
        data.load(name, data.Request(data_dir=tmp_path))
    (tmp_path / f"{name}.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"prepare_data\.py` again"):
        data.load(name, data.Request(data_dir=tmp_path))


def test_launcher(tmp_path, cache_dir):
    request = data.Request(factors=KEPT["dsprites"], progress=False)
    part = data.load("dsprites_regen", request)
    images = np.unpackbits(np.asarray(part.arrays), axis=1).reshape(-1, 64, 64, 1)
    path = published("dsprites", images, tmp_path / "file.npz")

    where = f"--data_dir={tmp_path}"
    good = call("prepare_data", where, f"--from={path}", "--unverified")
    assert "dsprites: 72 images (shape 3, scale 2" in good
    bad = call("prepare_data", where, f"--from={path}", code=2)
    assert "incomplete" in bad and "Traceback" not in bad
    assert "expected one" in call("prepare_data", where, code=2)
