"""Streams: every image once an epoch, any process count, resumed by the step alone."""

import gc
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from devae_jax import data, rng
from devae_jax.data import stream
from devae_jax.training.chunks import read_ahead
from devae_jax.types import Dataset, Shard

SIZE, BATCH = 24, 8
IMAGES = Dataset(  # grey, each its number
    name="numbered",
    image_shape=(4, 4, 1),
    size=SIZE,
    identity={},
    read=lambda number: np.full((4, 4, 1), number, np.uint8),
)


def source(seed=0, process=Shard()):  # noqa: B008
    return stream.of_process(IMAGES, BATCH, process, seed=seed)


def numbers(chunk):
    images = chunk["image"]
    assert images.dtype == np.uint8 and images.shape[2:] == (4, 4, 1)
    assert (images == images[..., :1, :1, :1]).all()
    return images[..., 0, 0, 0]


def test_every_image_once_an_epoch():
    batches = source(seed=1).host_batches
    first, second = (numbers(batches(step, 3)).ravel() for step in (0, 3))
    assert sorted(first) == sorted(second) == list(range(SIZE))
    assert (first != second).any()
    assert (first != numbers(source(seed=2).host_batches(0, 3)).ravel()).any()


def test_batches_depend_on_the_step_alone():
    straight = numbers(source().host_batches(0, 12))
    resumed = source()
    for step, count in ((0, 4), (4, 4), (5, 3), (2, 5), (7, 5)):
        chunk = numbers(resumed.host_batches(step, count))
        for t in range(step, step + count):
            np.testing.assert_array_equal(chunk[t % count], straight[t])


def test_processes_share_the_global_batch():
    whole = numbers(source().host_batches(3, 2))
    parts = [numbers(source(process=Shard(i, 4)).host_batches(3, 2)) for i in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


def test_the_registry_reads_this_process_rows():
    made = data.SOURCES["stream"](IMAGES, BATCH, seed=5)
    assert (made.arrays, made.size, made.batch_size) == (None, SIZE, BATCH)
    np.testing.assert_array_equal(
        numbers(made.host_batches(2, 2)), numbers(source(seed=5).host_batches(2, 2))
    )


def test_take_finds_the_step_and_cuts_no_rows():
    made = source()
    chunk = made.host_batches(5, 3)
    take = jax.jit(made.take)
    for step in (5, 6, 7):
        batch = take(chunk, rng.seed(0), step)
        np.testing.assert_allclose(batch["image"], chunk["image"][step % 3] / 255, rtol=1e-6)
    half = {"image": chunk["image"][:, 4:]}  # what the second of two devices is given
    for shard in (Shard(), Shard(1, 2)):
        batch = made.take(half, rng.seed(0), 6, shard)
        np.testing.assert_allclose(batch["image"], chunk["image"][0, 4:] / 255, rtol=1e-6)


def test_bad_streams():
    with pytest.raises(ValueError, match="batch_size=25, expected 1 to 24"):
        stream.source(IMAGES, 25)
    with pytest.raises(ValueError, match="multiple of the 3 processes"):
        source(process=Shard(0, 3))
    with pytest.raises(ValueError, match=r"data\.source\.seed=-1"):
        source(seed=-1)
    with pytest.raises(ValueError, match=r"data\.source\.threads=0"):
        stream.source(IMAGES, BATCH, threads=0)
    for kind in ("ondevice", "pairs"):
        dataset = IMAGES if kind == "ondevice" else IMAGES._replace(grid=data.load("toy").grid)
        with pytest.raises(ValueError, match=f"kind='{kind}' .*read from disk, expected 'stream'"):
            data.SOURCES[kind](dataset, 4)


def test_chunks_are_read_once_and_ahead():
    started, release = [], threading.Event()

    def read(step, count):
        started.append((step, count))
        if step == 3:
            release.wait(10)
        if step > 6:
            raise ValueError("got a broken image")
        return np.arange(step, step + count)

    chunk = read_ahead(read)
    for _ in range(2):  # two members of a population
        np.testing.assert_array_equal(chunk(0, 3), [0, 1, 2])
    while len(started) < 2:  # the next is read without being asked for
        time.sleep(0.01)
    release.set()
    np.testing.assert_array_equal(chunk(3, 3), [3, 4, 5])
    np.testing.assert_array_equal(chunk(6, 1), [6])  # another count than was expected
    assert started[:2] == [(0, 3), (3, 3)] and started.count((6, 1)) == 1
    with pytest.raises(ValueError, match="broken image"):
        chunk(7, 1)


def test_memory_stays_flat_over_ten_epochs(tmp_path):
    """Decoded from PNG files and brought to the device: 71 MB in all."""
    noise = np.random.RandomState(0).randint(0, 256, (4, 96, 96, 3), np.uint8)
    for i in range(256):
        if i < 4:
            Image.fromarray(noise[i]).save(tmp_path / f"{i}.png", compress_level=0)
        else:
            (tmp_path / f"{i}.png").hardlink_to(tmp_path / f"{i % 4}.png")
    dataset = data.load("folder", data.Request(path=tmp_path, image_size=96))
    read = data.SOURCES["stream"](dataset, 32, threads=2).host_batches
    chunk = read_ahead(lambda step, count: jax.device_put(read(step, count)))
    resident = []
    for epoch in range(10):
        for step in range(8 * epoch, 8 * epoch + 8, 2):
            jax.block_until_ready(chunk(step, 2))
        gc.collect()
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert max(resident[2:]) - resident[1] < 16e6, [f"{r / 1e6:.0f} MB" for r in resident]
