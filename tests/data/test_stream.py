"""Streams: every image once an epoch, any process count, resumed by the step alone."""

import contextlib

import jax
import numpy as np
import pytest
from PIL import Image

from devae_jax import rng
from devae_jax.data import builder, stream
from devae_jax.types import Shard

SIZE, BATCH = 24, 8


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Numbered grey images, in two folders."""
    root = tmp_path_factory.mktemp("images")
    for i in range(SIZE):
        (root / str(i % 2)).mkdir(exist_ok=True)
        pixels = np.full((12, 16, 3), 10 * i, np.uint8)
        pixels[:, :2] = pixels[:, -2:] = 255  # cropped away
        Image.fromarray(pixels).save(root / str(i % 2) / f"{i:02}.png")
    (root / "notes.txt").write_text("not an image")
    return stream.folder(root, 4, channels=1)


def numbers(batches):
    assert (batches == batches[..., :1, :1, :1]).all()
    return batches[..., 0, 0, 0] // 10


def test_every_image_once_an_epoch(images):
    assert (images.size, images.image_shape) == (SIZE, (4, 4, 1))
    source = stream.source(images, BATCH, seed=1)
    first, second = (numbers(source.host_batches(step, 3)).ravel() for step in (0, 3))
    assert sorted(first) == sorted(second) == list(range(SIZE))
    assert (first != second).any()
    other = numbers(stream.source(images, BATCH, seed=2).host_batches(0, 3)).ravel()
    assert (first != other).any()


def test_batches_depend_on_the_step_alone(images):
    straight = stream.source(images, BATCH).host_batches(0, 12)
    source = stream.source(images, BATCH)
    for step, count in ((0, 4), (4, 4), (5, 3), (2, 5), (7, 5)):
        chunk = source.host_batches(step, count)
        for t in range(step, step + count):
            np.testing.assert_array_equal(chunk[t % count], straight[t])


def test_processes_share_the_global_batch(images):
    whole = stream.source(images, BATCH).host_batches(3, 2)
    parts = [stream.source(images, BATCH, process=Shard(i, 4)).host_batches(3, 2) for i in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


def test_take_finds_the_step_and_the_rows(images):
    source = stream.source(images, BATCH)
    chunk = source.host_batches(5, 3)
    take = jax.jit(source.take, static_argnums=())
    for step in (5, 6, 7):
        batch = take(chunk, rng.seed(0), step)
        np.testing.assert_allclose(batch, chunk[step % 3] / 255, rtol=1e-6)
    half = source.take(chunk, rng.seed(0), 6, Shard(1, 2))
    np.testing.assert_allclose(half, chunk[0, 4:] / 255, rtol=1e-6)
    placed = source.take(chunk[:, 4:], rng.seed(0), 6, Shard(1, 2))
    np.testing.assert_allclose(placed, half)


def test_tfds_records(tmp_path, cache_dir):
    kept = {"scale": [5], "orientation": [3], "x_position": [0, 31], "y_position": [2, 8]}
    made = builder.Rendered("dsprites_regen", data_dir=tmp_path, factors=kept, cache_dir=cache_dir)
    with contextlib.redirect_stdout(None):
        made.download_and_prepare()
    images = stream.records("dsprites_regen", 64, data_dir=tmp_path)
    assert (images.size, images.image_shape) == (12, (64, 64, 1))
    batch = stream.source(images, 12).host_batches(0, 1)
    assert batch.shape == (1, 12, 64, 64, 1)
    assert len(np.unique(batch.reshape(12, -1), axis=0)) == 12
    with pytest.raises(ValueError, match="no readable tfds data set 'dsprites_regn'"):
        stream.records("dsprites_regn", 64, data_dir=tmp_path)


def test_bad_streams(images, tmp_path):
    with pytest.raises(ValueError, match="no images in"):
        stream.folder(tmp_path, 4)
    with pytest.raises(ValueError, match="batch_size=25, expected 1 to 24"):
        stream.source(images, 25)
    with pytest.raises(ValueError, match="multiple of the 3 processes"):
        stream.source(images, 8, process=Shard(0, 3))
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"unreadable image .*broken\.png"):
        stream.source(stream.folder(tmp_path, 4), 1).host_batches(0, 1)
