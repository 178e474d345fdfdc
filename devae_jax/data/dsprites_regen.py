"""dSprites, regenerated: the real data set's factors, drawn by an exact scanline fill.

Outlines are polygons on a 1/256 px grid and a pixel is white where its centre is
inside (no anti-aliasing), as the original was drawn. It matches every real image
we could find; it is not proved bit-identical to the download (Matthey et al. 2017,
https://github.com/google-deepmind/dsprites-dataset).
"""

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from devae_jax.data import cache, table
from devae_jax.data import factors as fg
from devae_jax.data.request import Request, refuse
from devae_jax.types import Dataset, FactorGrid

GRID = FactorGrid(
    names=("shape", "scale", "orientation", "x_position", "y_position"),
    sizes=(3, 6, 40, 32, 32),
)
VALUES = (  # what the labels of each factor stand for, in the real data's units
    np.arange(1, 4),
    np.linspace(0.5, 1, 6),
    np.linspace(0, 2 * np.pi, 40),
    np.linspace(0, 1, 32),
    np.linspace(0, 1, 32),
)
SHA256 = "3a228f4037ef3d42a42588e0e01f1078aa2df13cfa17584e88c95ed9fb5672da"  # whole table
SIZE = 64
LAYOUT = cache.Layout(np.uint8, (fg.num_images(GRID), SIZE * SIZE // 8), SHA256)
UNIT = 0.15 * SIZE  # px, half the side of the largest square
SUBPIXEL = 256


def load(request: Request) -> Dataset:
    """Shapes square, ellipse, heart at 6 scales, 40 orientations, 32 x 32 positions.

    The whole grid (377 MB, bit-packed) is drawn once and cached; a subset is drawn
    directly. Images [64, 64, 1] of {0, 1}. Raises ValueError for an unknown factor,
    value or image size.
    """
    refuse(request, "dsprites_regen", "path", "channels", "continuous")
    kept = fg.subset(GRID, request.factors)
    draw = functools.partial(render, kept.values, progress=request.progress)
    if kept.restricted:
        rows = draw()
        sha256 = cache.sha256(rows)
    else:
        path = cache.folder(request.data_dir) / "dsprites_regen.npy"
        rows, sha256 = cache.table(path, draw, LAYOUT)
    shape = (SIZE, SIZE, 1)
    return table.dataset("dsprites_regen", kept, rows, sha256, shape, request.image_size)


def render(values: Sequence[np.ndarray], *, progress: bool = False) -> np.ndarray:
    """Bit-packed images of the product of `values`, one array of value indices a factor.

    Returns uint8 [number of images, 512], in row-major order of the factors,
    each row as `np.packbits` of an image.
    """
    from tqdm import tqdm

    shapes, scales, orientations, x_positions, y_positions = values
    outlines = list(itertools.product(shapes, scales, orientations))
    bar = tqdm(
        outlines, "drawing dsprites_regen", unit="outline", disable=None if progress else True
    )
    images = np.stack([_fill(outline(*o), x_positions, y_positions) for o in bar])
    return images.reshape(-1, SIZE * SIZE // 8)


def outline(shape: int, scale: int, orientation: int) -> np.ndarray:
    """Vertices of a sprite around its centre: float64 [V, 2], px, y axis down."""
    x, y = _unit_outline(shape) * (UNIT * VALUES[1][scale])
    angle = VALUES[2][orientation]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos + y * sin, -x * sin + y * cos], -1)  # counter-clockwise on screen


def _unit_outline(shape: int) -> np.ndarray:
    if shape == 0:
        return np.array([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    if shape == 1:
        t = 2 * np.pi * np.arange(100) / 100
        return np.stack([1.33 * np.cos(t), np.sin(t) / 1.33])
    t = 2 * np.pi * np.arange(150) / 150
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3, -(y / 14.5 + 0.15)])


def _fill(vertices: np.ndarray, x_positions: np.ndarray, y_positions: np.ndarray) -> np.ndarray:
    """Even-odd fill at every position: uint8 [X, Y, 64 rows, 8 bytes].

    A pixel is inside if an odd number of edges crosses its row at or left of its
    centre, so an image row is the XOR of one bit mask "from this column on" a
    crossing. Centres on a left or bottom edge are in, on a right or top edge out.
    """
    x, y = (
        np.floor(SUBPIXEL * (v + _centre(p)[:, None]) + 0.5).astype(np.int64)
        for v, p in zip(vertices.T, (x_positions, y_positions), strict=True)
    )  # [X, V], [Y, V]
    x_next, y_next = np.roll(x, -1, 1), np.roll(y, -1, 1)
    centres = SUBPIXEL * np.arange(SIZE) + SUBPIXEL // 2
    below = y[:, None] >= centres[:, None]  # [Y, rows, V]
    position, row, edge = np.nonzero(below != (y_next[:, None] >= centres[:, None]))

    y0, y1, x0, x1 = y[position, edge], y_next[position, edge], x[:, edge], x_next[:, edge]
    rise = np.abs(y1 - y0)
    run = (centres[row] - y0) * np.sign(y1 - y0) * (x1 - x0)
    # First column whose centre is not left of the crossing: exact ceiling division.
    column = -(((SUBPIXEL // 2 - x0) * rise - run) // (SUBPIXEL * rise))

    images = np.zeros((len(x), len(y_positions), SIZE), np.uint64)
    line = position * SIZE + row
    first = np.flatnonzero(np.diff(line, prepend=-1))
    images.reshape(len(x), -1)[:, line[first]] = np.bitwise_xor.reduceat(
        _FROM_COLUMN[column.clip(0, SIZE)], first, axis=1
    )
    return images.astype(">u8").view(np.uint8).reshape(len(x), len(y_positions), SIZE, 8)


def _centre(position: np.ndarray) -> np.ndarray:
    return 16 + 32 * VALUES[3][position]


_FROM_COLUMN = np.array([(1 << (SIZE - c)) - 1 for c in range(SIZE + 1)], np.uint64)
