"""Data sets drawn by formula, against an independent renderer, and frames that move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.path import Path
from PIL import Image, ImageDraw

from devae_jax import data, rng
from devae_jax.data import lobes
from devae_jax.types import Shard

NUMBERS = np.array([0, 1, 4_242, 49_999])
FINE = 16  # PIL draws so many times larger


def test_xy_squares_are_those_that_pil_draws():
    dataset = data.load("xy_squares")
    assert dataset.size == 262_144 and dataset.image_shape == (64, 64, 3)
    numbers = np.array([0, 1, 262_143, 123_456])
    points = np.asarray(data.points_of(dataset, numbers))
    for image, point in zip(data.images_of(dataset, numbers), points, strict=True):
        channels = []
        for x, y in point.reshape(3, 2).tolist():
            canvas = Image.new("L", (64, 64))
            ImageDraw.Draw(canvas).rectangle((8 * x, 8 * y, 8 * x + 7, 8 * y + 7), 1)
            channels.append(np.asarray(canvas))
        np.testing.assert_array_equal(image, np.stack(channels, -1))
    half = data.load("xy_squares", data.Request(image_size=8, factors={"x_R": [3]}))
    assert half.image_shape == (8, 8, 3) and len(half.grid.names) == 5
    image = data.images_of(half, np.array([0]))[0]
    assert image[0, 3, 0] == 1 and image[..., 0].sum() == 1


def sprite(shape, scale, x, y):
    """Which pixel centres are inside dSprites' upright shape: matplotlib's point in polygon."""
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    heart = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    outlines = (
        np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]]),
        np.stack([1.33 * np.cos(t), np.sin(t) / 1.33]),
        np.stack([np.sin(t) ** 3, -(heart / 14.5 + 0.15)]),
    )
    centre = 16 + 32 * np.round(31 * np.array([x, y]) / 7) / 31
    polygon = outlines[shape].T * 9.6 * (0.6, 0.8, 1.0)[scale] + centre
    pixels = np.indices((64, 64))[::-1].reshape(2, -1).T + 0.5
    return Path(polygon).contains_points(pixels).reshape(64, 64)


def test_multi_sprites_are_those_that_matplotlib_draws():
    """But for 6 of an image's 4096 pixels at most, on outlines, which dSprites rounds."""
    dataset = data.load("multi_sprites")
    assert dataset.size == 576**2 and dataset.image_shape == (64, 64, 3)
    points = np.array(
        [[0, 0, 0, 0, 1, 2, 7, 7], [2, 2, 3, 3, 0, 0, 3, 4], [1, 1, 6, 2, 2, 1, 5, 2]]
    )
    numbers = np.ravel_multi_index(points.T, dataset.grid.sizes)
    for image, point in zip(data.images_of(dataset, numbers), points, strict=True):
        first, second = sprite(*point[:4]), sprite(*point[4:])
        drawn = np.zeros((64, 64, 3)) + first[..., None] * np.array([1, 0.4, 0.3])
        drawn[second] = (0.3, 0.6, 1.0)
        assert (np.abs(image - drawn).max(-1) > 1e-6).sum() <= 6
        assert second.sum() > 50 and (first & ~second).sum() > 50
    half = data.load("multi_sprites", data.Request(image_size=32, factors={"shape_1": [0]}))
    assert half.grid.names[0] == "scale_1" and half.image_shape == (32, 32, 3)


def outline(values, side):
    """The polygon of a shape in pixels, 720 vertices."""
    kind, scale, turn, x, y = values
    theta = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    count = 2 + kind
    r = (0.08 + 0.08 * scale) * (1 + np.cos(count * (theta - 2 * np.pi * turn / count)) / 4)
    across = 0.25 + 0.5 * x + r * np.cos(theta)
    down = 0.25 + 0.5 * y - r * np.sin(theta)
    return [tuple(point) for point in np.stack([across, down], 1) * side]


@pytest.mark.parametrize("name", ["lobes", "lobes_two"])
def test_lobes_are_those_that_pil_draws(name):
    """Within 2/255 of a pixel's range in the mean: both sample points of a pixel."""
    dataset = data.load(name)
    images = data.images_of(dataset, NUMBERS)
    for image, number in zip(images, NUMBERS, strict=True):
        canvas = Image.new("RGB", (64 * FINE, 64 * FINE))
        shapes = dataset.table.values[number].reshape(-1, 5)
        colours = lobes.COLOURS if len(shapes) == 2 else [(1.0, 1.0, 1.0)]
        for shape, colour in zip(shapes, colours, strict=True):
            paint = tuple(round(255 * part) for part in colour)
            ImageDraw.Draw(canvas).polygon(outline(shape, 64 * FINE), paint)
        drawn = np.asarray(canvas.reduce(FINE), np.float64)[..., : image.shape[2]] / 255
        assert np.abs(image - drawn).mean() < 2 / 255
        assert np.abs(image - drawn).max() < 0.3 and image.max() > 0.9


def test_factors_of_lobes():
    dataset = data.load("lobes", data.Request(image_size=16))
    known = data.labels_of(dataset)
    assert known.names == lobes.FACTORS and known.continuous.tolist() == [False] + [True] * 4
    assert known.sizes == (4,)
    values = known.of(np.arange(dataset.size))
    np.testing.assert_allclose(values.mean(0), [1.5, 0.5, 0.5, 0.5, 0.5], atol=0.02)
    assert abs(np.corrcoef(values.T) - np.eye(5)).max() < 0.02
    assert len(data.load("lobes_two").table.names) == 10
    source = data.SOURCES["ondevice"](dataset, 8)
    batch = source.take(source.arrays, rng.seed(0), 0)
    assert batch["image"].shape == (8, 16, 16, 1)
    with pytest.raises(ValueError, match="image_size=0, expected 1 pixel"):
        data.load("lobes", data.Request(image_size=0))


def test_frames_move_by_a_discrete_laplace_distribution():
    toy = data.load("toy")._replace(arrays=(), observe=lambda arrays, points: points)
    source = data.SOURCES["temporal"](toy, 384, rate=0.7)
    take = jax.jit(jax.vmap(lambda t: source.take(source.arrays, rng.seed(1), t)))
    batch = {k: np.asarray(v).reshape(-1, 4) for k, v in take(jnp.arange(30)).items()}
    assert batch.keys() == {"image", "pair", "shared"}
    first, second = batch["image"], batch["pair"]
    np.testing.assert_array_equal(batch["shared"], first == second)
    for column, size in enumerate(toy.grid.sizes):
        for value in range(size):
            chance = np.exp(-0.7 * np.abs(np.arange(size) - value))
            seen = second[first[:, column] == value, column]
            shares = np.bincount(seen, minlength=size) / len(seen)
            np.testing.assert_allclose(shares, chance / chance.sum(), atol=0.06)
    whole = source.take((), rng.seed(1), 3)
    parts = [source.take((), rng.seed(1), 3, Shard(i, 2)) for i in range(2)]
    for key, leaf in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), leaf)


def test_scenes_that_drift():
    toy = data.load("toy")
    points = toy._replace(arrays=(), observe=lambda arrays, points: points[:, None, None])
    options = {"motion": "drift", "speed": 2, "frames": 9, "moving": ("x_position", "scale")}
    source = data.SOURCES["temporal"](points, 384, **options)
    take = jax.jit(source.take)
    batch = {k: np.asarray(v) for k, v in take((), rng.seed(1), 5).items()}
    frames = batch["frames"][:, :, 0, 0]  # [B, T, F]
    np.testing.assert_array_equal(batch["image"][:, 0, 0], frames[:, 0])
    np.testing.assert_array_equal(batch["pair"][:, 0, 0], frames[:, 1])
    np.testing.assert_array_equal(batch["stayed"], frames[:, 1:] == frames[:, :-1])
    np.testing.assert_array_equal(batch["shared"], batch["stayed"][:, 0])
    assert (frames[..., [0, 3]] == frames[:, :1, [0, 3]]).all()  # what does not move
    assert frames.min() == 0 and frames[..., 2].max() == 7 and frames[..., 1].max() == 2
    away = np.minimum(frames[:, 0, 2], 7 - frames[:, 0, 2]) >= 2
    speeds = (frames[:, 1, 2].astype(int) - frames[:, 0, 2])[away]
    shares = np.bincount(speeds + 2, minlength=5) / len(speeds)
    np.testing.assert_allclose(shares, 0.2, atol=0.08)
    unfolded = np.arange(9) * np.abs(frames[:, 1, 2].astype(int) - frames[:, 0, 2])[:, None]
    start = frames[:, :1, 2].astype(int)
    right = np.abs((start + unfolded + 7) % 14 - 7)
    left = np.abs((start - unfolded + 7) % 14 - 7)
    same = (frames[..., 2] == right).all(1) | (frames[..., 2] == left).all(1)
    assert same[away].all()  # one speed, reflected at both ends
    of_device = jax.jit(lambda i: source.take((), rng.seed(1), 5, Shard(i, 2)))
    parts = [of_device(i) for i in range(2)]
    for key, leaf in batch.items():
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), leaf)


def test_frames_show_their_factors():
    toy = data.load("toy")
    source = data.SOURCES["temporal"](toy, 4, frames=3)
    batch = jax.jit(source.take)(source.arrays, rng.seed(2), 0)
    assert batch["frames"].shape == (4, 3, 16, 16, 1) and batch["stayed"].shape == (4, 2, 4)
    every = data.images_of(toy, np.arange(toy.size)).reshape(toy.size, -1)
    frames = np.asarray(batch["frames"]).reshape(12, 1, -1)
    numbers = np.abs(frames - every).max(-1).argmin(1)
    assert np.abs(frames[:, 0] - every[numbers]).max() < 1e-6
    factors = np.array(np.unravel_index(numbers, toy.grid.sizes)).T.reshape(4, 3, 4)
    np.testing.assert_array_equal(batch["stayed"], factors[:, 1:] == factors[:, :-1])


def test_bad_temporal_sources():
    toy = data.load("toy")
    with pytest.raises(ValueError, match=r"rate=0, expected more than 0"):
        data.SOURCES["temporal"](toy, 8, rate=0)
    for options, match in (
        ({"speed": 0}, "speed=0, expected more than 0"),
        ({"frames": 1}, "frames=1, expected more than 1"),
        ({"motion": "drif"}, "did you mean 'drift'"),
        ({"moving": ("scal",)}, "did you mean 'scale'"),
    ):
        with pytest.raises(ValueError, match=match):
            data.SOURCES["temporal"](toy, 8, **options)
    with pytest.raises(ValueError, match="without a full grid of factors"):
        data.SOURCES["temporal"](data.load("lobes"), 8)
    with pytest.raises(ValueError, match=r"with data\.held_out"):
        data.SOURCES["temporal"](data.load("toy", held_out={"scale": [0]}), 8)
