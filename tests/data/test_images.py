"""Images by number: the same whatever stores them, through few programs."""

import jax
import numpy as np
import pytest

from devae_jax import data
from devae_jax.data import factors as fg
from devae_jax.data import images
from devae_jax.types import Dataset


def test_points_stand_for_images():
    toy = data.load("toy")
    numbers = np.array([0, 5, 383])
    points = data.points_of(toy, numbers)
    np.testing.assert_array_equal(points, fg.from_index(toy.grid, numbers))
    np.testing.assert_array_equal(images.numbers_of(toy, points), numbers)
    without = toy._replace(grid=None)
    np.testing.assert_array_equal(data.points_of(without, numbers), numbers)
    np.testing.assert_array_equal(images.numbers_of(without, numbers), numbers)
    assert data.points_of(without, numbers).dtype == points.dtype == np.int32


def test_images_come_in_the_order_asked_for():
    toy = data.load("toy")
    numbers = np.random.RandomState(0).permutation(toy.size)[:300]
    seen = data.images_of(toy, numbers)
    assert seen.dtype == np.float32 and seen.shape == (300, 16, 16, 1)
    expected = jax.jit(toy.observe)(toy.arrays, data.points_of(toy, numbers))
    np.testing.assert_array_equal(seen, expected)
    assert data.images_of(toy, numbers[:0]).shape == (0, 16, 16, 1)
    for wrong in ([-1, 5], [0, toy.size]):
        with pytest.raises(
            ValueError, match=f"got image numbers {wrong[0]} to {wrong[1]}, expected"
        ):
            data.images_of(toy, wrong)


def test_host_and_device_agree():
    pixels = np.random.RandomState(0).randint(0, 256, (150, 4, 4, 3), np.uint8)
    host = Dataset(
        name="host", image_shape=(4, 4, 3), size=150, identity={}, read=lambda i: pixels[i]
    )
    device = host._replace(
        read=None,
        arrays=jax.numpy.asarray(pixels),
        observe=lambda arrays, numbers: images.scaled(arrays[numbers]),
    )
    numbers = np.arange(150)[::-1]
    np.testing.assert_array_equal(data.images_of(host, numbers), data.images_of(device, numbers))
    np.testing.assert_allclose(data.images_of(host, numbers), pixels[numbers] / 255, rtol=1e-6)


def test_one_program_serves_every_number_of_images():
    toy = data.load("toy", data.Request(image_size=9))
    traced = []

    def observe(arrays, factors):
        traced.append(factors.shape)
        return toy.observe(arrays, factors)

    dataset = toy._replace(observe=observe)
    for count in (1, 5, images.BATCH, 300):
        assert len(data.images_of(dataset, np.arange(count))) == count
    assert traced == [(images.BATCH, 4)]
    batches = list(images.batches_of(dataset, np.arange(10), 4))
    assert [(len(batch), count) for batch, count in batches] == [(4, 4), (4, 4), (4, 2)]


def test_bad_numbers():
    toy = data.load("toy")
    for numbers in ([-1], [384]):
        with pytest.raises(ValueError, match="expected 0 to 383, those of 'toy'"):
            data.images_of(toy, np.array(numbers))
