"""Regenerated dSprites: exact, cached, packed."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data
from devae_jax.data import cache, dsprites_regen
from devae_jax.data import factors as fg


@pytest.fixture(scope="module")
def whole(cache_dir):
    return data.load("dsprites_regen", data.Request(data_dir=cache_dir, progress=False))


def test_golden(whole):
    rows = np.asarray(whole.arrays)
    assert rows.shape == (737_280, 512)
    assert rows.dtype == np.uint8
    assert whole.size == len(rows)
    assert cache.sha256(rows) == dsprites_regen.SHA256 == whole.identity["sha256"]
    white = np.bitwise_count(rows.view(np.uint64)).reshape(3, -1).sum(1, dtype=np.int64)
    assert white.tolist() == [53_612_886, 42_070_950, 32_645_028]


@pytest.mark.skipif("DEVAE_REAL_PIXELS" not in os.environ, reason="no real images at hand")
def test_matches_the_real_images(whole):
    with np.load(os.path.join(os.environ["DEVAE_REAL_PIXELS"], "dsprites_real.npz")) as real:
        images = whole.observe(whole.arrays, jnp.asarray(real["factors"]))
        same = (np.asarray(images)[..., 0] == real["images"]).all((1, 2))
    assert same.sum() == len(same) == 375


def test_subset_is_a_slice_of_the_whole(whole):
    kept = {"shape": [2], "orientation": [3, 17], "x_position": [0, 31]}
    part = data.load("dsprites_regen", data.Request(factors=kept, progress=False))
    assert part.grid.names == ("scale", "orientation", "x_position", "y_position")
    assert part.grid.sizes == (6, 2, 2, 32)
    assert part.identity["factors"] == kept
    native = np.asarray(whole.arrays).reshape(*dsprites_regen.GRID.sizes, 512)
    np.testing.assert_array_equal(
        part.arrays, native[2][:, [3, 17]][:, :, [0, 31]].reshape(-1, 512)
    )


def test_observe_unpacks(whole):
    factors = fg.from_index(whole.grid, jnp.arange(0, 737_280, 70_001))
    images = whole.observe(whole.arrays, factors)
    bits = np.unpackbits(np.asarray(whole.arrays)[::70_001], axis=1).reshape(-1, 64, 64, 1)
    np.testing.assert_array_equal(images, bits)


@pytest.mark.parametrize("size", [32, 16, 8, 4])
def test_image_size_averages_blocks(size):
    kept = {"scale": [5], "orientation": [3, 17], "x_position": [0, 31]}
    small, large = (
        data.load("dsprites_regen", data.Request(factors=kept, image_size=n, progress=False))
        for n in (size, 64)
    )
    factors = fg.from_index(small.grid, jnp.arange(0, small.size, 5))
    images = jax.jit(small.observe)(small.arrays, factors)
    assert small.image_shape == images.shape[1:] == (size, size, 1)
    blocks = np.asarray(large.observe(large.arrays, factors))
    blocks = blocks.reshape(-1, size, 64 // size, size, 64 // size, 1)
    np.testing.assert_array_equal(images, blocks.mean((2, 4)))


@pytest.mark.parametrize("size", [0, 48, 128])
def test_bad_image_size(size):
    request = data.Request(factors={"shape": [0], "scale": [0]}, image_size=size, progress=False)
    with pytest.raises(ValueError, match="expected one that divides 64x64"):
        data.load("dsprites_regen", request)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_cache_is_rebuilt(tmp_path, damage):
    path = tmp_path / "table.npy"
    table = np.arange(4096, dtype=np.uint8).reshape(8, 512)
    layout = cache.Layout(np.uint8, (None, 512))
    digest = cache.table(path, lambda: table, layout)[1]
    assert digest == cache.sha256(table)
    assert cache.table(path, pytest.fail, layout)[1] == digest  # a good file is not rebuilt
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes({"truncate": content[:-700], "flip": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="building it again"):
        rows, again = cache.table(path, lambda: table, layout)
    np.testing.assert_array_equal(rows, table)
    assert again == digest
    assert cache.read(path, layout)[1] == digest
    assert [p.name for p in tmp_path.iterdir()] == ["table.npy"]


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cache.table(
            tmp_path / "table.npy",
            lambda: np.zeros((4, 512), np.uint8),
            cache.Layout(np.uint8, (4, 512)),
        )
    assert list(tmp_path.iterdir()) == []


def test_unwritable_cache_is_not_fatal(tmp_path):
    (tmp_path / "file").write_text("in the way")
    table = np.zeros((4, 512), np.uint8)
    with pytest.warns(UserWarning, match="not kept"):
        path, layout = tmp_path / "file" / "table.npy", cache.Layout(np.uint8, (4, 512))
        rows, _ = cache.table(path, lambda: table, layout)
    np.testing.assert_array_equal(rows, table)


def test_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "devae_jax"
    assert cache.folder("~/tables").is_absolute()
