"""Files from elsewhere: no code, no other files, no memory beyond the machine's, one line."""

import io
import json
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest

from devae_jax import data
from devae_jax.data import foreign, raw, real
from devae_jax.runs.folder import Folder

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 8, 8), dtype=np.uint8)


class Bomb:
    """What unpickling would run."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def load(path, name="arrays"):
    return data.load(name, data.Request(path=str(path)))


def refused(call, words="got"):
    """The one line with which a call refuses."""
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value), caught.value
    return str(caught.value)


@pytest.mark.parametrize("where", ["images", "factors", "factor_names", "alone"])
def test_no_pickle_is_loaded(tmp_path, where):
    objects = np.array([Bomb()] * 6, object)
    if where == "alone":
        np.save(tmp_path / "x.npy", objects, allow_pickle=True)
        refused(lambda: load(tmp_path / "x.npy"), "Object arrays cannot be loaded")
        refused(lambda: load(tmp_path / "x.npy", "mapped"), "expected an .npy")
    else:
        np.savez(tmp_path / "x.npz", **{"images": IMAGES, where: objects})
        refused(lambda: load(tmp_path / "x.npz"), "Object arrays cannot be loaded")
    if where == "images":
        np.savez(tmp_path / "y.npz", imgs=objects, latents_classes=np.zeros((6, 6)))
        refused(lambda: raw.read(tmp_path / "y.npz"), "Object arrays cannot be loaded")


def linked(file, key, kind, other):
    if kind == "external link":
        file[key] = h5py.ExternalLink(str(other), "/x")
    elif kind == "soft link":
        file[key] = h5py.SoftLink("/x")
    elif kind == "group":
        file.create_group(key)
    elif kind == "external storage":
        file.create_dataset(key, (6, 6), "u1", external=[(str(other), 0, 36)])
    else:
        layout = h5py.VirtualLayout((6, 6), np.uint8)
        layout[:] = h5py.VirtualSource(str(other), "x", (6, 6))
        file.create_virtual_dataset(key, layout)


KINDS = ("external link", "soft link", "group", "external storage", "virtual")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["imgs", "latents", "latents/classes"])
def test_a_published_file_points_nowhere_else(tmp_path, kind, place):
    """Even if told not to verify it."""
    other = tmp_path / "secret"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((6, 6), np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if place != "imgs":
            file["imgs"] = np.zeros((6, 64, 64), np.uint8)
        if place == "imgs":
            file["latents/classes"] = np.zeros((6, 6))
        linked(file, place, kind, other)
    words = "no array|is missing" if kind == "group" or place == "latents" else "elsewhere"
    refused(lambda: raw.read(tmp_path / "x.h5", verify=False), f"{words}|elsewhere")


GRID = np.stack(np.meshgrid(*[np.arange(2)] * 5, indexing="ij"), -1).reshape(-1, 5)


@pytest.mark.parametrize(
    ("labels", "count", "words"),
    [
        (np.where(GRID == 1, np.nan, 0), 32, "NaN or infinite labels"),
        (np.where(GRID == 1, np.inf, 0), 32, "NaN or infinite labels"),
        (GRID.astype("S3"), 32, "labels, expected finite numbers"),
        (GRID.astype(complex), 32, "labels, expected finite numbers"),
        (GRID, 40, r"images of shape \[40, 64, 64\] with 32 rows"),
        (GRID, 20, r"images of shape \[20, 64, 64\] with 32 rows"),
        (np.arange(160).reshape(32, 5), 32, "32 images for 33554432 combinations"),
        (np.zeros((0, 5)), 0, r"expected \[N, 5\]"),
        (np.zeros(32), 32, r"expected \[N, 5\]"),
        (np.float64(1), 32, "rows of labels|expected"),
    ],
)
def test_labels_that_are_none(tmp_path, labels, count, words):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["imgs"] = np.zeros((count, 64, 64), np.uint8)
        file["latents/classes"] = labels

    def prepare():
        found = raw.read(tmp_path / "x.h5", verify=False)
        real.prepare(found, data_dir=tmp_path, any_grid=True, progress=False)

    refused(prepare, words)
    assert [item.name for item in tmp_path.iterdir()] == ["x.h5"]


def test_images_that_cannot_be_read_in_the_middle(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        noise = np.random.default_rng(0).integers(0, 2, (32, 64, 64), dtype=np.uint8)
        file.create_dataset("imgs", data=noise, chunks=(1, 64, 64), compression="gzip")
        file["latents/classes"] = GRID
        place = file["imgs"].id.get_chunk_info(20)
    with (tmp_path / "x.h5").open("r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)

    def prepare():
        found = raw.read(tmp_path / "x.h5", verify=False)
        real.prepare(found, data_dir=tmp_path, any_grid=True, progress=False)

    refused(prepare, "unreadable images from number 0")
    assert [item.name for item in tmp_path.iterdir()] == ["x.h5"]


def header(shape, kind="|u1"):
    buffer = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()


def test_sizes_that_cannot_be(tmp_path):
    """A file of a few bytes that says it holds petabytes."""
    huge = (10**6, 10**5, 10**4)
    (tmp_path / "x.npy").write_bytes(header(huge) + b"\0" * 64)
    refused(lambda: load(tmp_path / "x.npy"))
    refused(lambda: load(tmp_path / "x.npy", "mapped"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("images.npy", header(huge) + b"\0" * 64)
    refused(lambda: load(tmp_path / "x.npz"))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", huge, "u1", chunks=(1, 100, 100))
    refused(lambda: load(tmp_path / "x.h5"), "more than the .* GB of memory")


def test_an_archive_that_unpacks_to_more_than_the_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((6, 512, 512), np.uint8))
    monkeypatch.setattr(foreign, "memory", lambda: 1_000_000)
    refused(lambda: load(tmp_path / "x.npz"), r"takes 0\.0 GB, more than")


def png(width, height):
    """A picture of a few bytes that says how large it is."""

    def chunk(kind, content):
        sum_ = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(100_000, 100_000), (12_000, 12_000)])
def test_pictures_that_unpack_to_gigabytes(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png(*size))
    request = data.Request(path=str(tmp_path), image_size=8)
    dataset = data.load("folder", request)
    refused(lambda: dataset.read(0), "unreadable image .*bomb.png")
    refused(lambda: data.load("folder", request._replace(on_error="skip")), "no readable image")


def test_damage_is_one_line_or_none(tmp_path):
    """Bits of every kind of file flipped: what still loads are images."""
    factors = np.stack([np.arange(6), np.arange(6) % 2], 1)
    np.save(tmp_path / "good.npy", IMAGES)
    np.savez_compressed(tmp_path / "good.npz", images=IMAGES, factors=factors)
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_dataset("images", data=IMAGES, compression="gzip")
        file["factors"] = factors
    rng, lines = np.random.default_rng(0), 0
    for suffix in ("npy", "npz", "h5"):
        content = (tmp_path / f"good.{suffix}").read_bytes()
        for _ in range(60):
            hurt = bytearray(content)
            for place in rng.integers(len(hurt), size=3):
                hurt[place] ^= 1 << int(rng.integers(8))
            path = tmp_path / f"hurt.{suffix}"
            path.write_bytes(hurt)
            try:
                assert load(path).size > 0
            except ValueError as error:
                assert "\n" not in str(error), error
                lines += 1
    assert lines > 50


ODD = ("[" * 100_000, "1" * 5000, "[1, 2]", "null", "\x00", '"\\ud800"', "\ufeff{}", "{", "")


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_json(tmp_path, text):
    folder = Folder(tmp_path)
    for name, read in (("config.json", folder.config), ("scores.json", folder.scores)):
        (tmp_path / name).write_text(text)
        refused(read, f"{tmp_path}.*expected")
    (tmp_path / "scores.json").unlink()
    (tmp_path / "results.json").write_text(text)
    assert not folder.has_results(10)
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1}) + "\n" + text + "\n")
    assert folder.metrics() == [{"step": 1}]


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st\xff": 2}\n')
    assert Folder(tmp_path).metrics() == [{"step": 1}]


@pytest.mark.parametrize(
    "features",
    [
        {"pythonClassName": "evil.X", "featuresDict": {"features": {}}},
        {"python_class_name": "evil.X", "featuresDict": {"features": {}}},
        {"type": "evil.X", "content": {}},
        {
            "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
            "featuresDict": {"features": {"image": {"pythonClassName": "evil.X", "image": {}}}},
        },
        {
            "type": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
            "content": {"image": {"type": "evil.X", "content": {}}},
        },
    ],
)
def test_a_tfds_data_set_runs_no_code(tmp_path, monkeypatch, features):
    """Neither by its folder nor by its name; tfds imports what features.json names."""
    folder = tmp_path / "sets" / "stranger" / "1.0.0"
    folder.mkdir(parents=True)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "features.json").write_text(json.dumps(features))
    (folder / "dataset_info.json").write_text(
        json.dumps({"name": "stranger", "version": "1.0.0", "fileFormat": "array_record"})
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, path in (("records", folder), ("tfds:stranger", tmp_path / "sets")):
        request = data.Request(path=str(path), image_size=8)
        said = refused(lambda name=name, request=request: data.load(name, request))
        assert not (tmp_path / "ran").exists()
        assert "features.json that needs evil.X, expected classes in tensorflow_datasets" in said


@pytest.mark.parametrize("text", ["", "[" * 9999, "null", '{"x": 1}', '{"type": [1]}', "{}"])
def test_a_tfds_data_set_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "features.json").write_text(text)
    (tmp_path / "dataset_info.json").write_text(
        json.dumps({"name": "stranger", "version": "1.0.0", "fileFormat": "array_record"})
    )
    request = data.Request(path=str(tmp_path), image_size=8)
    refused(lambda: data.load("records", request), "got no readable tfds data set in")
