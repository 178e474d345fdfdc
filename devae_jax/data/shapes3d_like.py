"""Shapes3D, imitated: the real data set's factors, ray-cast in a room fitted to it.

Not the original images (Burgess & Kim 2018, https://github.com/google-deepmind/3d-shapes):
30 dB PSNR to them. Colours do not move geometry, so an image is a sum
`sky + floor * colour + wall * colour + object * colour + white` of five weights a
pixel, and 480 geometries serve all 480,000 images.
"""

import colorsys
import functools
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from devae_jax.data import cache, raycast, table
from devae_jax.data import factors as fg
from devae_jax.data.request import Request, refuse
from devae_jax.types import Array, Dataset, FactorGrid

GRID = FactorGrid(
    names=("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
    sizes=(10, 10, 10, 8, 4, 15),
)
VALUES = (  # what the labels of each factor stand for, in the real data's units
    np.arange(10) / 10,
    np.arange(10) / 10,
    np.arange(10) / 10,
    np.linspace(0.75, 1.25, 8),
    np.arange(4),
    np.linspace(-30, 30, 15),
)
SIZE = 64
LAYOUT = cache.Layout(np.float16, (8 * 4 * 15, 5, SIZE * SIZE))
SKY = np.array([153, 226, 249]) / 255
COLOURS = np.array([colorsys.hsv_to_rgb(hue, 1, 1) for hue in VALUES[0]])
CAMERA = raycast.Camera(distance=0.54375, height=0.15734, pitch=-0.031154, focal=64.0626)
ROOM = raycast.Room(
    wall_height=0.55681,
    light=np.array([-0.41876, 0.08792, 1.73346]),
    target=np.array([-0.43625, 0.13536, 0.0]),
    sharpness=7.41643,
    floor=(0.33728, 0.99122),
    wall=(0.35413, 0.58099, 0.84858),
    object=(0.32193, 0.62615, 1.11398),
    white=0.09975,
)


def solid(shape: int, scale: int) -> raycast.Solid:
    """Cube, cylinder, sphere or capsule, at one of eight scales, standing on the floor."""
    factor = VALUES[3][scale]
    if shape == 0:
        half = 0.080053 * factor
        sides = (raycast.slab(axis, -half, half) for axis in (0, 1))
        return raycast.both(*sides, raycast.slab(2, 0, 2 * half))
    if shape == 1:
        radius, half = 0.085159 * factor, 0.086696 * factor
        return raycast.both(raycast.tube(radius), raycast.slab(2, 0, 2 * half))
    if shape == 2:
        radius = 0.098162 * factor
        return raycast.ball(radius, height=radius)
    radius, half = 0.075522 * factor, 0.075887 * factor
    low, high = radius, radius + 2 * half
    middle = raycast.both(raycast.tube(radius), raycast.slab(2, low, high))
    return raycast.either(middle, raycast.ball(radius, low), raycast.ball(radius, high))


BOUND = raycast.both(raycast.tube(0.1416), raycast.slab(2, 0, 0.379))  # of every solid


def render(*, supersample: int = 3, progress: bool = False) -> np.ndarray:
    """Weights of every scale, shape and orientation: float16 [480, 5, 64 * 64]."""
    from tqdm import tqdm

    _, _, _, scales, shapes, _ = map(range, GRID.sizes)
    solids = [solid(shape, scale) for scale, shape in itertools.product(scales, shapes)]
    angles = np.radians(VALUES[5])
    bar = tqdm(angles, "drawing shapes3d_like", unit="view", disable=None if progress else True)
    views = [
        raycast.weights(
            solids, ROOM, CAMERA, angle, bound=BOUND, size=SIZE, supersample=supersample
        )
        for angle in bar
    ]
    weights = np.stack(views, 1, dtype=np.float16, casting="same_kind")
    return weights.reshape(-1, 5, SIZE * SIZE)


def compose(weights: Array, floor: Array, wall: Array, obj: Array) -> Array:
    """Colours [N, 3] on weights [N, 5, P]: images [N, P, 3] in [0, 1]."""
    sky, white = (jnp.broadcast_to(jnp.asarray(c, jnp.float32), floor.shape) for c in (SKY, 1.0))
    layers = (
        weights[:, i, :, None].astype(jnp.float32) * colour[:, None]
        for i, colour in enumerate((sky, floor, wall, obj, white))
    )
    return jnp.clip(functools.reduce(jnp.add, layers), 0, 1)


def load(request: Request) -> Dataset:
    """Ten hues each of floor, wall and object, 8 scales, 4 shapes, 15 camera angles.

    The geometries (20 MB) are cast once and cached. Images [64, 64, 3]. Raises
    ValueError for an unknown factor, value or image size.
    """
    refuse(request, "shapes3d_like", "path", "channels", "continuous")
    kept = fg.subset(GRID, request.factors)
    shape = table.resized((SIZE, SIZE, 3), request.image_size)
    geometry = FactorGrid(GRID.names[3:], GRID.sizes[3:])
    draw = functools.partial(render, progress=request.progress)
    path = cache.folder(request.data_dir) / "shapes3d_like.npy"
    weights, sha256 = cache.table(path, draw, LAYOUT)
    colours = jnp.asarray(COLOURS, jnp.float32)

    def observe(arrays: Any, factors: Array) -> Array:
        native = kept.native(factors)
        found = arrays[fg.to_index(geometry, native[:, 3:])]
        images = compose(found, *(colours[hue] for hue in native[:, :3].T))
        return table.block_mean(images.reshape(-1, SIZE, SIZE, 3), shape[0])

    return Dataset(
        name="shapes3d_like",
        image_shape=shape,
        size=fg.num_images(kept.grid),
        identity=table.identity("shapes3d_like", kept, shape, sha256),
        arrays=jnp.asarray(weights),
        observe=observe,
        grid=kept.grid,
    )
