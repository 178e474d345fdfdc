"""Data sets without factors, through the names that a config has: folder, records, arrays."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from devae_jax import data
from devae_jax.data import builder, variants
from devae_jax.types import Shard

SIZE = 6


@pytest.fixture
def folder(tmp_path):
    """Numbered pictures in two folders, and a file that is none."""
    for i in range(SIZE):
        (tmp_path / str(i % 2)).mkdir(exist_ok=True)
        pixels = np.full((12, 16, 3), 10 * i, np.uint8)
        pixels[:, :2] = pixels[:, -2:] = 255  # cropped away
        suffix = "png" if i < 5 else "WEBP"
        Image.fromarray(pixels).save(tmp_path / str(i % 2) / f"{i:02}.{suffix}", lossless=True)
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_folder(folder, channels):
    dataset = data.load("folder", data.Request(path=folder, image_size=4, channels=channels))
    assert (dataset.size, dataset.image_shape) == (SIZE, (4, 4, channels or 3))
    assert dataset.grid is dataset.observe is dataset.arrays is None
    images = np.stack([dataset.read(i) for i in range(SIZE)])
    assert images.dtype == np.uint8 and (images == images[:, :1, :1, :1]).all()
    assert sorted(images[:, 0, 0, 0]) == [0, 10, 20, 30, 40, 50]
    again = data.load("folder", data.Request(path=str(folder), image_size=4, channels=channels))
    assert again.identity == dataset.identity
    (folder / "0" / "00.png").unlink()
    fewer = data.load("folder", data.Request(path=folder, image_size=4, channels=channels))
    assert fewer.identity["sha256"] != dataset.identity["sha256"]


def test_folder_through_its_source(folder):
    dataset = data.load("folder", data.Request(path=folder, image_size=4))
    source = data.SOURCES["stream"](dataset, 3)
    chunk = source.host_batches(0, 2)
    assert chunk["image"].shape == (2, 3, 4, 4, 3)
    assert len(np.unique(chunk["image"])) == SIZE
    batch = source.take(chunk, None, 1, Shard())["image"]
    assert batch.shape == (3, 4, 4, 3) and batch.max() <= 50 / 255 + 1e-6


def test_bad_folders(folder, tmp_path_factory):
    def load(**options):
        return data.load("folder", data.Request(**{"path": folder, "image_size": 4, **options}))

    with pytest.raises(ValueError, match=r"no images in .* expected files ending in \.bmp"):
        load(path=tmp_path_factory.mktemp("empty"))
    with pytest.raises(ValueError, match=r"no data\.path for 'folder'"):
        load(path="")
    with pytest.raises(ValueError, match=r"path=.*absent', expected a folder"):
        load(path=folder / "absent")
    with pytest.raises(ValueError, match=r"image_size=None .*expected 1 pixel"):
        load(image_size=None)
    with pytest.raises(ValueError, match=r"channels=2 .*expected 1 \(grey\) or 3"):
        load(channels=2)
    with pytest.raises(ValueError, match=r"data\.factors=.* has no factors, expected none"):
        load(factors={"shape": [0]})
    (folder / "0" / "broken.png").write_bytes(b"not a picture")
    cut = (folder / "1" / "01.png").read_bytes()[:50]
    (folder / "0" / "cut.png").write_bytes(cut)
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(folder / "0" / "deep.png")
    dataset = load()
    messages = []
    for i in range(dataset.size):
        with contextlib.suppress(ValueError):
            dataset.read(i)
            continue
        with pytest.raises(ValueError, match="unreadable image") as error:
            data.SOURCES["stream"](
                dataset._replace(read=lambda _, i=i: dataset.read(i)), 1
            ).host_batches(0, 1)
        messages.append(str(error.value))
    assert len(messages) == 3
    for message, name in zip(messages, ("broken", "cut", "deep"), strict=True):
        assert f"{name}.png" in message and "\n" not in message
    assert "more than 8 bits" in messages[2]


def test_mixed_sizes_and_modes(tmp_path):
    """One colour, in every mode and at any size, comes out as that colour, upright."""
    colour = (200, 100, 50)
    for i, mode in enumerate(("RGB", "RGBA", "P", "CMYK", "LAB", "PA")):
        picture = Image.new("RGB", (3 + 7 * i, 20 - i), colour)
        picture = picture.convert("RGBA").convert(mode) if mode == "PA" else picture.convert(mode)
        picture.save(tmp_path / f"{mode}.tif")
    for mode in ("1", "L", "LA"):
        Image.new("L", (1, 30), 255).convert(mode).save(tmp_path / f"{mode}.png")
    turned = Image.new("RGB", (8, 4))  # black but for its left half, which is the top on screen
    turned.paste((255, 0, 0), (0, 0, 4, 4))
    exif = turned.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    dataset = data.load("folder", data.Request(path=tmp_path, image_size=4))
    names = sorted(path.stem for path in tmp_path.iterdir())
    images = dict(zip(names, (dataset.read(i) for i in range(dataset.size)), strict=True))
    np.testing.assert_array_equal(images.pop("turned")[:, 0, 0], [255, 255, 0, 0])
    for mode, image in images.items():
        assert image.shape == (4, 4, 3)
        wanted = (255, 255, 255) if mode in ("1", "L", "LA") else colour
        assert np.abs(image.astype(int) - wanted).max() <= 5, mode
    grey = data.load("folder", data.Request(path=tmp_path, image_size=4, channels=1))
    assert all(grey.read(i).shape == (4, 4, 1) for i in range(grey.size))


def test_records(tmp_path, cache_dir):
    kept = {"scale": [5], "orientation": [3], "x_position": [0, 31], "y_position": [2, 8]}
    made = builder.Rendered("dsprites_regen", data_dir=tmp_path, factors=kept, cache_dir=cache_dir)
    with contextlib.redirect_stdout(None):
        made.download_and_prepare()
    dataset = data.load("records", data.Request(path=made.data_path, image_size=64))
    assert (dataset.size, dataset.image_shape) == (12, (64, 64, 1))
    assert dataset.identity["name"] == "dsprites_regen/1.0.0"
    images = np.stack([dataset.read(i) for i in range(12)])
    assert len(np.unique(images.reshape(12, -1), axis=0)) == 12
    assert data.load("records", data.Request(path=made.data_path, image_size=8, channels=3)).read(
        0
    ).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="no readable tfds data set"):
        data.load("records", data.Request(path=tmp_path, image_size=64))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("shape", [(7, 8, 6), (7, 8, 6, 4)])
def test_arrays(tmp_path, suffix, shape):
    pixels = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    path = tmp_path / f"file{suffix}"
    if suffix == ".npy":
        np.save(path, pixels)
    else:
        np.savez(path, images=pixels, labels=np.arange(7))
    dataset = data.load("arrays", data.Request(path=path))
    four = pixels.reshape(7, 8, 6, -1)
    assert (dataset.size, dataset.image_shape) == (7, four.shape[1:])
    assert dataset.grid is dataset.read is None
    np.testing.assert_allclose(data.images_of(dataset, np.arange(7)), four / 255, rtol=1e-6)
    half = data.load("arrays", data.Request(path=path, image_size=4))
    blocks = four.reshape(7, 4, 2, 3, 2, -1).mean((2, 4)) / 255
    np.testing.assert_allclose(data.images_of(half, np.arange(7)), blocks, rtol=1e-5)
    source = data.SOURCES["ondevice"](dataset, 7, sampling="epoch")
    assert source.take(source.arrays, builder.jax.random.key(0), 0)["image"].shape == four.shape


def test_bad_arrays(tmp_path):
    path = tmp_path / "file.npz"

    def load(match, request=data.Request(path=path), **arrays):  # noqa: B008
        if arrays:
            np.savez(path, **arrays)
        with pytest.raises(ValueError, match=match) as error:
            data.load("arrays", request)
        assert "\n" not in str(error.value)

    good = np.full((2, 4, 4), 9, np.uint8)
    load("no file .*file.npz")
    load(r"no data\.path for 'arrays'", data.Request())
    load(r"unreadable .*Object arrays", images=np.array([{}, "x"], object))
    load(r"float64 \[2, 4, 4\] .*expected images uint8", images=good / 255)
    load(r"uint8 \[2, 4\] .*expected images uint8", images=good[..., 0])
    load(r"uint8 \[2, 4, 4, 5\]", images=np.zeros((2, 4, 4, 5), np.uint8))
    load(r"uint8 \[0, 4, 4\]", images=good[:0])
    load(r"intensities up to 1 .*multiply", images=good // 9)
    load(r"with faces, others, expected one array, or one called images", faces=good, others=good)
    load(
        r"image_size=3, expected one that divides 4x4",
        data.Request(path=path, image_size=3),
        a=good,
    )
    load(r"factors=.*has no factors", data.Request(path=path, factors={"shape": [0]}))
    load(r"channels=3 .*its own channels", data.Request(path=path, channels=3))
    path.write_bytes(path.read_bytes()[:100])
    load("unreadable .*file.npz")


def test_what_needs_factors_says_so(folder):
    request = data.Request(path=folder, image_size=4)
    with pytest.raises(ValueError, match=r"data\.held_out for 'folder', a data set without fact"):
        data.load("folder", request, held_out={"shape": [0]})
    pair = {"first": "shape", "second": "scale", "sigma": 0.1}
    with pytest.raises(ValueError, match=r"data\.correlated for 'folder', a data set without fac"):
        data.load("folder", request, correlated=pair)
    dataset = data.load("folder", request)
    with pytest.raises(ValueError, match="kind='pairs' for 'folder', a data set without factors"):
        data.SOURCES["pairs"](dataset, 2)
    with pytest.raises(ValueError, match=r"kind='ondevice' for 'folder'.*expected 'stream'"):
        data.SOURCES["ondevice"](dataset, 2)
    grey = data.load("folder", request._replace(channels=1))
    with pytest.raises(ValueError, match="read on the host, expected images made on the device"):
        variants.noisy(grey)
