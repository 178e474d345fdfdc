"""Ray-cast Shapes3D: near the real images, factorised, controlled by its factors."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data
from devae_jax.data import factors as fg
from devae_jax.data import raycast, shapes3d_like

pytestmark = pytest.mark.xdist_group("shapes3d_like")  # what its tests share is made once


@pytest.fixture(scope="module")
def shapes(cache_dir):
    return data.load("shapes3d_like", data.Request(data_dir=cache_dir, progress=False))


@pytest.fixture(scope="module")
def observe(shapes):
    draw = jax.jit(shapes.observe)
    return lambda factors: np.asarray(draw(shapes.arrays, jnp.asarray(factors)))


def test_golden(shapes):
    golden = "2e2bbc6736ce68dd829172d543f9bd5a75f87bd624e136ebe30c3cecd4772d7f"
    assert shapes.identity["sha256"] == golden
    assert shapes.arrays.shape == (480, 5, 64 * 64)


@pytest.mark.skipif("DEVAE_REAL_PIXELS" not in os.environ, reason="no real images at hand")
def test_near_the_real_images(observe):
    with np.load(os.path.join(os.environ["DEVAE_REAL_PIXELS"], "shapes3d_real.npz")) as real:
        error = observe(real["factors"]) - real["images"] / 255
    psnr = -10 * np.log10((error**2).mean((1, 2, 3)))
    print(
        f"PSNR {psnr.mean():.2f} dB, worst {psnr.min():.2f}; MAE {np.abs(error).mean() * 255:.2f}"
    )
    assert -10 * np.log10((error**2).mean()) >= 30
    assert psnr.min() > 28


def test_channel_means_of_the_real_data(shapes, observe):
    images = observe(fg.sample(shapes.grid, jax.random.key(0), 2000))
    assert images.shape == (2000, 64, 64, 3)
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_allclose(images.mean((0, 1, 2)), [0.5026, 0.5788, 0.6034], atol=0.02)
    deviation = images.std((1, 2)).mean(0)  # within an image, as published
    np.testing.assert_allclose(deviation, [0.2941, 0.3444, 0.3662], atol=0.02)


def test_each_factor_changes_its_own_pixels(observe):
    middle = np.array([[0, 3, 6, 4, 2, 7]], np.int32)
    changed = {}
    for i, name in enumerate(shapes3d_like.GRID.names):
        other = middle.copy()
        other[0, i] += 1
        changed[name] = (observe(middle) != observe(other)).any(-1)[0]
    assert changed["floor_hue"][60, 5] and not changed["floor_hue"][:20].any()
    assert changed["wall_hue"][20, 5] and not changed["wall_hue"][60:].any()
    assert changed["object_hue"][40, 32] and not changed["object_hue"][20, 5]
    assert changed["scale"].any() and changed["shape"].any() and changed["orientation"].any()


def test_subset_and_image_size_agree_with_the_whole(shapes, cache_dir, observe):
    kept = {"wall_hue": [7], "shape": [1, 3], "orientation": [0, 7, 14]}
    request = data.Request(data_dir=cache_dir, factors=kept, image_size=16)
    part = data.load("shapes3d_like", request)
    assert part.grid.names == ("floor_hue", "object_hue", "scale", "shape", "orientation")
    factors = jnp.asarray([[4, 2, 5, 1, 2], [0, 9, 0, 0, 1]], jnp.int32)
    native = [[4, 7, 2, 5, 3, 14], [0, 7, 9, 0, 1, 7]]
    blocks = observe(np.array(native, np.int32)).reshape(2, 16, 4, 16, 4, 3).mean((2, 4))
    np.testing.assert_allclose(part.observe(part.arrays, factors), blocks, atol=1e-6)


@pytest.mark.parametrize("shape", range(4))
def test_rays_meet_solids_on_their_surface(shape):
    solid = shapes3d_like.solid(shape, 3)
    angle = np.linspace(0, 2 * np.pi, 50)
    origin = np.stack([np.cos(angle), np.sin(angle), np.full(50, 0.1)])
    direction = np.array([[0.0], [0.0], [0.09]]) - origin
    enter, leave, normal = solid(origin, direction)
    assert (enter > 0).all() and (enter < leave).all() and (leave < 2).all()
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1)
    assert ((normal * direction).sum(0) < 0).all()  # it faces the ray
    nearer, _, _ = solid(origin + (enter - 1e-6) * direction, direction)
    np.testing.assert_allclose(nearer, 1e-6, rtol=1e-3)
    missed, beyond, _ = solid(origin, direction + np.array([[0.0], [0.0], [2.0]]))
    assert not (missed < beyond).any()


def test_a_ball_has_the_closed_form():
    origin, direction = np.array([[0.0], [-3.0], [1.0]]), np.array([[0.0], [1.0], [0.0]])
    enter, leave, normal = raycast.ball(0.5, height=1.0)(origin, direction)
    np.testing.assert_allclose([enter[0], leave[0]], [2.5, 3.5])
    np.testing.assert_allclose(normal[:, 0], [0, -1, 0])
