"""The user's own images with factors: a CSV beside a folder, arrays in a file, tfds features."""

import contextlib

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn import datasets as sklearn_data

from devae_jax import data
from devae_jax.configs import base
from devae_jax.data import builder, labels
from devae_jax.program import keys, references
from devae_jax.program import plan as programs

GRID = np.indices((2, 3)).reshape(2, -1).T


def save_folder(root, count, lines):
    for i in range(count):
        Image.fromarray(np.full((4, 4), 10 * i, np.uint8)).save(root / f"{i}.png")
    (root / "factors.csv").write_text("\n".join(lines) + "\n")


def load_folder(root, **options):
    return data.load("folder", data.Request(path=root, image_size=4, channels=1, **options))


def test_a_csv_beside_the_images(tmp_path):
    lines = ["file,colour,size,angle", "2.png,red,1,0.5", "0.png,blue,1,0.25", "1.png,red,3,1"]
    save_folder(tmp_path, 3, lines)
    dataset = load_folder(tmp_path)
    assert dataset.table.names == ("colour", "size", "angle")
    assert dataset.table.continuous == (False, False, True)
    np.testing.assert_array_equal(dataset.table.values, [[0, 1, 0.25], [1, 3, 1], [1, 1, 0.5]])
    known = data.labels_of(dataset)
    assert known.sizes == (2, 2)
    np.testing.assert_array_equal(known.of(np.array([2])), [[1, 1, 0.5]])
    assert load_folder(tmp_path, continuous=("size",)).table.continuous == (False, True, True)
    (tmp_path / "factors.csv").write_text("\n".join(lines).replace("0.25", "0.3"))
    assert load_folder(tmp_path).identity != dataset.identity
    for call in (
        lambda: data.SOURCES["pairs"](dataset, 2),
        lambda: data.load(lambda request: dataset, held_out={"size": [1]}),
    ):
        with pytest.raises(ValueError, match="without a full grid of factors"):
            call()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "0.png,1"], r"columns a, b, expected 'file' and one a factor"),
        (["file,a", "0.png,1"], r"got 1 images without a row .* such as 1\.png"),
        (["file,a", "0.png,1", "1.png,2", "x.png,3"], r"1 rows without an image .*x\.png"),
        (["file,a", "0.png,1", "1.png,2", "1.png,3"], r"1 images with more than one row"),
        (["file,a", "0.png,1", "1.png,"], r"empty or surplus cell in the row of 1\.png"),
        (["file,a", "0.png,1", "1.png,2,3"], r"empty or surplus cell in the row of 1\.png"),
        (["file,a", "0.png,1", "1.png,nan"], r"got 1 NaN or infinite factors .* 'a' of image 1"),
        (["file,a", "0.png,1", "1.png,1"], r"factors that never vary"),
        (["file,a,a", "0.png,1,1", "1.png,2,2"], r"got 1 different factor names for 2"),
    ],
)
def test_a_csv_that_does_not_fit(tmp_path, lines, message):
    save_folder(tmp_path, 2, lines)
    with pytest.raises(ValueError, match=message) as error:
        load_folder(tmp_path)
    assert "\n" not in str(error.value)


def test_unreadable_images_are_skipped_and_counted(tmp_path):
    save_folder(tmp_path, 3, ["file,a", "0.png,0", "1.png,1", "2.png,2", "bad.png,3"])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    whole = load_folder(tmp_path)
    assert whole.size == 4
    with pytest.raises(ValueError, match=r"unreadable image .*bad\.png.*on_error='skip'"):
        whole.read(3)
    with pytest.warns(UserWarning, match=r"skipped 2 of 4 images .*1\.png"):
        kept = load_folder(tmp_path, on_error="skip")
    assert [kept.read(i)[0, 0, 0] for i in range(kept.size)] == [0, 20]
    np.testing.assert_array_equal(data.labels_of(kept).of(np.arange(2)).ravel(), [0, 1])
    with pytest.raises(ValueError, match=r"on_error='skpi', did you mean 'skip'|'skip'"):
        load_folder(tmp_path, on_error="skpi")
    for name in ("0", "2"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="no readable image of 4"):
        load_folder(tmp_path, on_error="skip")


def save(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                array = np.asarray(array)
                file[name] = array.astype("S") if array.dtype.kind == "U" else array


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_digits_of_scikit_learn(tmp_path, suffix):
    digits = sklearn_data.load_digits()
    pixels = (digits.images * 15).astype(np.uint8)
    ink = digits.images.mean((1, 2))
    factors = np.stack([digits.target, ink], 1)
    save(
        tmp_path / f"digits{suffix}", images=pixels, factors=factors, factor_names=["digit", "ink"]
    )
    dataset = data.load("arrays", data.Request(path=tmp_path / f"digits{suffix}"))
    assert (dataset.size, dataset.image_shape) == (1797, (8, 8, 1))
    known = data.labels_of(dataset)
    assert known.names == ("digit", "ink") and known.continuous.tolist() == [False, True]
    assert known.sizes == (10,)
    numbers = np.array([5, 0, 1796])
    np.testing.assert_array_equal(known.of(numbers), factors[numbers])
    shown = data.images_of(dataset, numbers)[..., 0]
    np.testing.assert_allclose(shown, pixels[numbers] / 255, rtol=1e-6)
    source = data.SOURCES["ondevice"](dataset, 4)
    assert source.take(source.arrays, builder.jax.random.key(0), 0)["image"].shape == (4, 8, 8, 1)


def test_photographs_cut_into_tiles(tmp_path):
    photographs = sklearn_data.load_sample_images()
    for name, picture in zip(photographs.filenames, photographs.images, strict=True):
        folder = tmp_path / name.split("/")[-1].split(".")[0]
        folder.mkdir()
        for y in range(0, 384, 64):
            for x in range(0, 640, 64):
                tile = Image.fromarray(picture[y : y + 64, x : x + 64])
                tile.save(folder / f"{y}_{x}.jpg", quality=95)
    dataset = data.load("folder", data.Request(path=tmp_path, image_size=16))
    assert (dataset.size, dataset.image_shape, dataset.table) == (120, (16, 16, 3), None)
    china = photographs.images[0][:64, :64].reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(dataset.read(0).astype(float) - china).mean() < 3  # JPEG's losses


@pytest.mark.parametrize("kind", ["arrays", "folder"])
def test_factors_that_are_a_full_grid_become_one(tmp_path, kind):
    order = np.random.RandomState(0).permutation(6)
    pixels = np.zeros((6, 4, 4), np.uint8) + (100 + np.arange(6))[order][:, None, None].astype("u1")
    if kind == "arrays":
        save(tmp_path / "x.npz", images=pixels, factors=5 * GRID[order])
        dataset = data.load("arrays", data.Request(path=tmp_path / "x.npz"))
        assert dataset.grid.names == ("factor_0", "factor_1")
    else:
        rows = [f"{i}.png,{a},{b}" for i, (a, b) in enumerate(GRID[order])]
        save_folder(tmp_path, 6, ["file,a,b", *rows])
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(tmp_path / f"{i}.png")
        dataset = load_folder(tmp_path)
        assert dataset.grid.names == ("a", "b")
    assert dataset.table is None and dataset.grid.sizes == (2, 3)
    shown = data.images_of(dataset, np.arange(6)).reshape(6, -1)[:, 0] * 255
    np.testing.assert_allclose(shown, 100 + np.arange(6), rtol=1e-6)
    table = labels.table_of(np.concatenate([GRID, GRID[:1]])[1:], ("a", "b"), "here")
    assert labels.with_factors(dataset._replace(grid=None), table).grid is not None  # any order
    table = labels.table_of(np.concatenate([GRID[:5], GRID[:1]]), ("a", "b"), "here")
    assert labels.with_factors(dataset._replace(grid=None), table).table is table  # one repeated


def test_arrays_on_disk_are_read_one_by_one(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (9, 4, 6, 3), np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    save(tmp_path / "x.h5", images=pixels, factors=np.linspace(0, 1, 9)[:, None])
    for suffix in (".npy", ".h5"):
        dataset = data.load("mapped", data.Request(path=tmp_path / f"x{suffix}"))
        assert dataset.observe is None and dataset.image_shape == (4, 6, 3)
        np.testing.assert_array_equal([dataset.read(i) for i in range(9)], pixels)
        chunk = data.SOURCES["stream"](dataset, 3).host_batches(0, 3)["image"]
        assert {image.tobytes() for image in chunk.reshape(9, -1)} == {
            image.tobytes() for image in pixels
        }
    assert dataset.table.continuous == (True,)
    with pytest.raises(ValueError, match=r"image_size=2 for 'mapped'.*4 pixels high"):
        data.load("mapped", data.Request(path=tmp_path / "x.npy", image_size=2))
    np.save(tmp_path / "dark.npy", pixels // 255)
    with pytest.raises(ValueError, match=r"intensities up to [01] in .*dark\.npy.*multiply"):
        data.load("mapped", data.Request(path=tmp_path / "dark.npy"))
    np.savez(tmp_path / "x.npz", pixels)
    with pytest.raises(ValueError, match=r"x\.npz for 'mapped', expected an \.npy, \.h5 or"):
        data.load("mapped", data.Request(path=tmp_path / "x.npz"))


def test_a_file_larger_than_memory_is_not_read_whole(tmp_path):
    images = np.lib.format.open_memmap(
        tmp_path / "sparse.npy", "w+", np.uint8, (2_500_000, 64, 64, 3)
    )  # 30 GB, of which a page is written
    images[2_499_999] = 7
    images.flush()
    dataset = data.load("mapped", data.Request(path=tmp_path / "sparse.npy"))
    assert (dataset.read(2_499_999) == 7).all() and (dataset.read(1_000_000) == 0).all()
    chunk = data.SOURCES["stream"](dataset, 8).host_batches(10**5, 2)["image"]
    assert chunk.shape == (2, 8, 64, 64, 3)


def test_bad_factors_and_links(tmp_path):
    good = np.full((2, 4, 4), 9, np.uint8)
    path = tmp_path / "x.npz"

    def refused(match, name=path, **arrays):
        if arrays:
            save(name, **arrays)
        with pytest.raises(ValueError, match=match) as error:
            data.load("arrays", data.Request(path=name))
        assert "\n" not in str(error.value)

    refused("got 3 rows of factors for 2 images", images=good, factors=np.eye(3))
    refused(r"factors float64 \[2\]", images=good, factors=np.arange(2.0))
    refused("1 NaN or infinite factors", images=good, factors=np.array([[0.0], [np.nan]]))
    refused("Object arrays", images=good, factors=np.array([[{}], [1]], object))
    refused(r"factors <U1", images=good, factors=np.array([["a"], ["b"]]))
    refused(
        "2 different factor names for 1", images=good, factors=GRID[:2, 1:], factor_names=["a", "b"]
    )
    path = tmp_path / "x.h5"
    save(tmp_path / "other.h5", images=good)
    with h5py.File(path, "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "/images")
    refused("images is a link to elsewhere", path)
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(good.shape, np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", good.shape)
        file.create_virtual_dataset("images", layout)
    refused("images is a link to elsewhere", path)
    request = data.Request(path=tmp_path / "other.h5", continuous=("a",))
    with pytest.raises(ValueError, match="says itself which factors are continuous"):
        data.load("arrays", request)
    save(path, images=good, factors=GRID[:2])
    with pytest.raises(ValueError, match="'factor_1'"):
        data.load("arrays", data.Request(path=path, continuous=("factor_7",)))


def test_features_of_tfds_are_factors(tmp_path, cache_dir):
    kept = {
        "shape": [0, 2],
        "scale": [5],
        "orientation": [3],
        "x_position": [0],
        "y_position": [2, 8],
    }
    made = builder.Rendered("dsprites_regen", data_dir=tmp_path, factors=kept, cache_dir=cache_dir)
    with contextlib.redirect_stdout(None):
        made.download_and_prepare()
    dataset = data.load("records", data.Request(path=made.data_path, image_size=64))
    assert (dataset.grid.names, dataset.grid.sizes) == (("shape", "y_position"), (2, 2))
    direct = data.load("dsprites_regen", data.Request(factors=kept))
    shown, expected = (data.images_of(each, np.arange(4)) for each in (dataset, direct))
    np.testing.assert_array_equal(shown * 255, expected)  # 0 and 1 are kept as they are
    request = data.Request(path=tmp_path, image_size=64)
    for name in ("tfds:dsprites_regen", "tfds:dsprites_regen:1.0.0"):
        assert data.load(name, request).identity == dataset.identity
    with pytest.raises(ValueError, match=r"no prepared tfds data set 'mnist' .*tfds build mnist"):
        data.load("tfds:mnist", request)
    config = base.get_config()
    config.data.update({"name": "tfds:dsprites_regen", "path": str(tmp_path)})
    config.data.source.kind, config.batch_size = "stream", 2
    assert programs.plan(config).dataset.identity == dataset.identity
    assert not references.code_in(keys.flatten(config))  # nothing of the user's to trust
    info = made.data_path / "dataset_info.json"
    text = info.read_text().replace("array_record", "tfrecord")
    info.write_text(text)
    with pytest.raises(ValueError, match=r"format tfrecord; convert it with `tfds convert_format"):
        data.load("tfds:dsprites_regen", request)
    config.model.name = "tfds:vae"
    with pytest.raises(ValueError, match=r"model\.name='tfds:vae', expected one of"):
        programs.plan(config)


def test_a_table_that_does_not_fit_its_data_set():
    toy = data.load("toy")
    table = labels.table_of(GRID, ("a", "b"), "here")
    with pytest.raises(ValueError, match="a table of 6 rows of factors, expected as many"):
        data.load(lambda request: toy._replace(table=table))
