"""Tiles of pixels, as a Triton kernel reads and sums them; what `fused_kernels` are made of.

Arrays are flat. A tile is TILE pixels of maps [N, h, h], one after another; pixels that do not
exist, beyond a border or behind the last one, are read as 0. Between these small maps and large
ones of 4h lie two layers of stride 2, and maps of 2h between them. Pixel (2i + r, 2j + s) between
is of class (r, s), and lies on pixel (i, j) of the small map. It meets 4 x 4 pixels of the large
map, its window, and four of the small one, each by one of the 16 taps of a kernel.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from devae_jax.types import Array

TILE = 64  # pixels; of a matrix with as many rows, Hopper's tensor cores take all at once
PROGRAMS = 32  # that share all tiles, and write a sum each
TAPS = 16
CLASSES = 4


def launch(
    kernel: Callable[..., None],
    grid: tuple[int, ...],
    inputs: Sequence[Array],
    outputs: list[jax.ShapeDtypeStruct],
    flops: int,
    warps: int = 4,
) -> Sequence[Array]:
    """Runs a kernel for each program of a grid, on whole arrays; `flops` are those of its dots.

    With 4 warps a program ptxas needs no memory for registers on an H100, in any precision. With
    8 it does not either, but fewer programs share a multiprocessor.
    """
    arrays: list[Any] = [*inputs, *outputs]
    moved = sum(x.size * x.dtype.itemsize for x in arrays)
    return pl.pallas_call(
        kernel,
        grid=grid,
        out_shape=outputs,
        compiler_params=triton.CompilerParams(num_warps=warps, num_stages=1),
        cost_estimate=pl.CostEstimate(flops=flops, bytes_accessed=moved, transcendentals=0),
        name=kernel.__name__,
    )(*(x.reshape(-1) for x in inputs))


def sizes_of(x: Array, times: int) -> tuple[int, int]:
    """N, and the size of the small maps of which `x` is `times` the size."""
    return x.shape[0], x.shape[1] // times


def tiles_of(count: int) -> int:
    return -(-count // TILE)


def power_of_two(count: int) -> int:
    """The least power of 2 that is no less, from 16: sizes that Triton multiplies."""
    return max(16, 1 << (count - 1).bit_length())


def wider(x: Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def dot(a: Array, b: Array, left: int = 1, right: int = 0) -> Array:
    """Summed over axis `left` of a, `right` of b."""
    return lax.dot_general(a, b, (((left,), (right,)), ((), ())), preferred_element_type=wider(a))


def iota(count: int) -> Array:
    return lax.iota(jnp.int32, count)


def split(index: Array, size: int) -> tuple[Array, Array]:
    """Quotient and remainder of numbers from 0 on."""
    by = jnp.full_like(index, size)
    return lax.div(index, by), lax.rem(index, by)


def inside(index: Array, size: int) -> Array:
    return (index >= 0) & (index < size)


def pixels_of(tile: Any, size: int, count: int) -> tuple[Array, Array, Array, Array]:
    """Of each pixel of a tile the image, row and column, and whether it exists."""
    at = tile * TILE + iota(TILE)
    image, rest = split(at, size**2)
    return image, *split(rest, size), at < count


def met(place: Any, one: Any) -> tuple[Any, Any, Any]:
    """How far off the `one`th pixel of the small map lies that a class meets, and by which tap.

    Four pixels of the large map, rows k = 0 to 3, meet row i' of the small one: those from
    2i' - 1 on. So row 2i + r is met as k = r + 1 of row i, and as 3 - 3r of the row beyond, which
    is i - 1 or i + 1.
    """

    def along(p, beyond):
        return beyond * (2 * p - 1), jnp.where(beyond > 0, 3 - 3 * p, p + 1)

    di, k = along(place >> 1, one >> 1)
    dj, m = along(place & 1, one & 1)
    return di, dj, 4 * k + m


def block(ref: Any, start: Any, rows: int, columns: int, used: int | None = None) -> Array:
    """[rows, columns] that begin at `start`; zeros behind the rows that are used."""
    index = start + iota(rows)[:, None] * columns + iota(columns)[None]
    if used in (None, rows):
        return ref[index]
    there = jnp.broadcast_to((iota(rows) < used)[:, None], index.shape)
    return triton.load(ref.at[index], mask=there, other=0)


def row_of(ref: Any, pixels: Any, size: int, channels: int) -> Array:
    """The channels of pixels of maps of a size: [TILE, channels]."""
    image, i, j, exist = pixels
    there = exist & inside(i, size) & inside(j, size)
    index = (((image * size + i) * size + j) * channels)[:, None] + iota(channels)[None]
    there = jnp.broadcast_to(there[:, None], index.shape)
    return triton.load(ref.at[index], mask=there, other=0)


def window_of(ref: Any, pixels: Any, size: int, channels: int) -> Array:
    """What pixels of the map between meet in large maps: [TILE, (row, column, channel), or 0]."""
    image, r, s, exist = pixels
    q = iota(power_of_two(TAPS * channels))
    pixel, channel = split(q, channels)
    row = 2 * r[:, None] - 1 + (pixel >> 2)[None]
    column = 2 * s[:, None] - 1 + (pixel & 3)[None]
    there = exist[:, None] & (q < TAPS * channels)[None]
    there = there & inside(row, size) & inside(column, size)
    index = ((image[:, None] * size + row) * size + column) * channels + channel[None]
    return triton.load(ref.at[index], mask=there, other=0)


def put_row(ref: Any, pixels: Any, size: int, values: Array) -> None:
    image, i, j, exist = pixels
    channels = values.shape[1]
    index = (((image * size + i) * size + j) * channels)[:, None] + iota(channels)[None]
    triton.store(ref.at[index], values, mask=jnp.broadcast_to(exist[:, None], index.shape))


def put(ref: Any, start: Any, values: Array) -> None:
    """Values [columns] or [rows, columns] at `start`."""
    index = start + iota(values.shape[-1])
    if values.ndim > 1:
        index = index[None] + iota(values.shape[0])[:, None] * values.shape[1]
    ref[index] = values


class Sums(NamedTuple):
    """Sums over all tiles, for each of the 16 taps and for each class of pixels between.

    A few programs of each share the tiles and write a sum each, which XLA adds in order.

    pixels: how many the small maps have
    taps, classes: the shapes summed for each
    """

    pixels: int
    taps: Sequence[tuple[int, ...]]
    classes: Sequence[tuple[int, ...]]

    @property
    def programs(self) -> int:
        return min(PROGRAMS, tiles_of(self.pixels))

    @property
    def sizes(self) -> tuple[int, int]:
        """Of what one tap and one class write."""
        return sum(map(math.prod, self.taps)), sum(map(math.prod, self.classes))

    def add(self, ref: Any, size: int, of_tap: Callable, of_class: Callable, dtype: Any) -> None:
        """What one program does: sums (tap or class, *pixels) -> values over its tiles."""
        program, place = pl.program_id(0), pl.program_id(1)
        tap, one = self.sizes
        base = program * (TAPS * tap + CLASSES * one)

        def loop(made, place, shapes, start):
            def tile(t, totals):
                pixels = pixels_of(program + t * self.programs, size, self.pixels)
                return tuple(
                    total + new for total, new in zip(totals, made(place, *pixels), strict=True)
                )

            steps = -(-tiles_of(self.pixels) // self.programs)
            zeros = tuple(jnp.zeros(shape, dtype) for shape in shapes)
            for total in lax.fori_loop(0, steps, tile, zeros):
                put(ref, start, total)
                start = start + math.prod(total.shape)

        @pl.when(place < TAPS)
        def _():
            loop(of_tap, place, self.taps, base + place * tap)

        @pl.when(place >= TAPS)
        def _():
            number = place - TAPS
            loop(of_class, number, self.classes, base + TAPS * tap + number * one)

    def run(self, kernel: Callable, inputs: Sequence[Array], dtype: Any, flops: int):
        """The sums, [16, ...] and [4, ...] of each shape."""
        tap, one = self.sizes
        length = TAPS * tap + CLASSES * one
        shape = jax.ShapeDtypeStruct((self.programs * length,), dtype)
        (parts,) = launch(kernel, (self.programs, TAPS + CLASSES), inputs, [shape], flops)
        total = parts.reshape(self.programs, length).sum(0)
        found = []
        for rows, shapes in (
            (total[: TAPS * tap].reshape(TAPS, tap), self.taps),
            (total[TAPS * tap :].reshape(CLASSES, one), self.classes),
        ):
            start, blocks = 0, []
            for block_shape in shapes:
                end = start + math.prod(block_shape)
                blocks.append(rows[:, start:end].reshape(-1, *block_shape))
                start = end
            found.append(blocks)
        return found
