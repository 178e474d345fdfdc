"""Variants: what they change, what they leave alone, and that an image stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data, rng
from devae_jax.data import factors as fg
from devae_jax.data import variants

KEPT = {"scale": [5], "orientation": [3, 17], "x_position": [0, 9, 31], "y_position": [2, 8]}


def sprites(name="dsprites_regen"):
    dataset = data.load(name, data.Request(factors=KEPT, image_size=32, progress=False))
    return dataset, data.images_of(dataset, np.arange(dataset.size))


def test_noshape_hides_the_shape():
    whole, images = sprites()
    hidden, seen = sprites("dsprites_regen_noshape")
    assert hidden.grid.names == ("orientation", "x_position", "y_position")
    assert hidden.identity["name"] == hidden.name == "dsprites_regen_noshape"
    by_shape = images.reshape(whole.grid.sizes[0], len(seen), 32, 32, 1)
    matches = (by_shape == seen).all((2, 3, 4))  # [shape, image]
    assert (matches.sum(0) >= 1).all()
    assert (matches.sum(1) >= 1).all()


def test_colour_scales_the_channels():
    _, images = sprites()
    dataset, coloured = sprites("dsprites_regen_color")
    assert dataset.image_shape == coloured.shape[1:] == (32, 32, 3)
    ratio = coloured.max((1, 2)) / images.max((1, 2))
    np.testing.assert_allclose(coloured, images * ratio[:, None, None], atol=1e-6)
    assert ratio.min() >= 0.5 and ratio.max() <= 1
    assert len(np.unique(ratio)) == ratio.size


def test_noise_stays_off_the_sprite():
    _, images = sprites()
    _, noise = sprites("dsprites_regen_noisy")
    assert noise.shape[-1] == 3
    white = np.broadcast_to(images == 1, noise.shape)
    black = np.broadcast_to(images == 0, noise.shape)
    assert (noise[white] == 1).all()
    assert abs(noise[black].mean() - 0.5) < 0.01 and abs(noise[black].var() - 1 / 12) < 0.01
    corners = noise[:, :2, :2].reshape(len(noise), -1)  # always black
    between_pixels, between_images = np.corrcoef(corners.T), np.corrcoef(corners)
    assert np.abs(between_pixels - np.eye(12)).max() < 0.5
    assert abs((between_images - np.eye(len(noise))).mean()) < 0.02


def test_an_image_does_not_depend_on_its_batch():
    dataset, images = sprites("dsprites_regen_noisy")
    order = jnp.asarray([7, 3, 30])
    again = jax.jit(dataset.observe)(dataset.arrays, data.points_of(dataset, order))
    np.testing.assert_array_equal(again, images[order])


def test_scream_inverts_the_picture_under_the_sprite():
    dataset, images = sprites()
    screaming = variants.scream(dataset, np.full((40, 50, 3), 0.8))
    seen = data.images_of(screaming, np.arange(len(images)))
    ground = seen[:, :1, :1]  # a flat picture: one tint an image
    assert ground.min() >= 0.4 and ground.max() <= 0.9 and len(np.unique(ground)) > 50
    np.testing.assert_allclose(seen, images * (1 - ground) + (1 - images) * ground, atol=1e-6)
    with pytest.raises(ValueError, match="at least \\[32, 32, 3\\] in \\[0, 1\\]"):
        variants.scream(dataset, np.full((40, 50, 3), 200))


def test_correlated_pair():
    dataset = data.load(
        "toy", correlated={"first": "x_position", "second": "y_position", "sigma": 0.2}
    )
    draw = jax.jit(dataset.draw, static_argnums=2)
    factors = np.asarray(draw(dataset.arrays, rng.seed(0), 20_000))
    shape, scale, x, y = factors.T
    places = np.linspace(0, 1, 8)
    expected = np.exp(-((places[:, None] - places) ** 2) / 0.08)
    counts = np.histogram2d(x, y, [np.arange(9), np.arange(9)])[0]
    np.testing.assert_allclose(counts / 20_000, expected / expected.sum(), atol=5e-3)
    assert np.corrcoef(x, y)[0, 1] > 0.5 and abs(np.corrcoef(shape, x)[0, 1]) < 0.03
    assert set(scale) == {0, 1, 2}
    source = data.SOURCES["ondevice"](dataset, 64)
    batch = jax.jit(source.take)(source.arrays, rng.seed(0), 0)
    assert batch["image"].shape == (64, 16, 16, 1)


def test_hold_out():
    held = {"shape": [1], "x_position": [5, 6, 7]}
    dataset = data.load("toy", held_out=held)
    shape, _, x, _ = np.asarray(dataset.draw(dataset.arrays, rng.seed(0), 5_000)).T
    assert not ((shape == 1) & (x >= 5)).any()
    assert ((shape == 0) & (x >= 5)).any() and ((shape == 1) & (x < 5)).any()
    assert abs((shape == 0).mean() - 8 / 13) < 0.03  # uniform over what is left
    assert dataset.identity["held_out"] == held
    source = data.SOURCES["ondevice"](dataset, 64)
    batch = jax.jit(source.take)(source.arrays, rng.seed(0), 0)
    assert batch["image"].shape == (64, 16, 16, 1)
    assert dataset.size == fg.num_images(dataset.grid) == 384  # evaluation still sees everything


def test_bad_variants():
    toy = data.load("toy")
    with pytest.raises(ValueError, match="did you mean 'x_position'"):
        variants.correlated(toy, "scale", "x_positio", 0.1)
    with pytest.raises(ValueError, match="two factors and sigma > 0"):
        variants.correlated(toy, "scale", "scale", 0.1)
    with pytest.raises(ValueError, match="two factors and sigma > 0"):
        variants.correlated(toy, "scale", "shape", 0.0)
    single = {"shape": [0], "scale": [1], "x_position": [2], "y_position": [3]}
    assert variants.hold_out(toy, single).arrays[1].shape == (383,)
    with pytest.raises(ValueError, match="did you mean 'scale'"):
        variants.hide(toy, "scal")
    with pytest.raises(ValueError, match="from 0 to 2"):
        variants.hold_out(toy, {"scale": [3]})
    with pytest.raises(ValueError, match="some images left"):
        variants.hold_out(toy, {"scale": [0, 1, 2]})
    with pytest.raises(ValueError, match="expected grey images"):
        variants.noisy(data.load("toy_rgb"))
    with pytest.raises(ValueError, match="expected 'replacement'"):
        data.SOURCES["ondevice"](data.load("toy", held_out={"scale": [0]}), 8, sampling="epoch")
    with pytest.raises(ValueError, match="expected one; remove one"):
        data.load("toy", held_out={"scale": [0]}, correlated={"first": "scale"})
