"""The Triton kernels of `fused`: what a program computes of two layers, on tiles of pixels."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from devae_jax.models.tiles import (
    CLASSES,
    TAPS,
    TILE,
    Sums,
    block,
    dot,
    inside,
    iota,
    launch,
    met,
    pixels_of,
    power_of_two,
    put_row,
    row_of,
    sizes_of,
    split,
    tiles_of,
    wider,
    window_of,
)
from devae_jax.types import Array

SPAN = 6  # width of the windows of one pixel of each class together


def first_layers(x: Array, kernel: Array, bias: Array, next_kernel: Array, next_bias: Array):
    """relu(down(relu(down(x)))): [N, 4h, 4h, C] -> [N, h, h, G]."""
    n, size, channels, features, last = *sizes_of(x, 4), *kernel.shape[2:], next_bias.shape[0]
    count, width, wide = n * size**2, power_of_two(TAPS * channels), wider(x)

    def first_layers(x, kernel, bias, next_kernel, next_bias, out):
        image, i, j, exist = pixels_of(pl.program_id(0), size, count)
        weights = block(kernel, 0, width, features, TAPS * channels)

        def tap(t, total):
            r, s = 2 * i + (t >> 2) - 1, 2 * j + (t & 3) - 1
            there = exist & inside(r, 2 * size) & inside(s, 2 * size)
            window = window_of(x, (image, r, s, there), 4 * size, channels)
            between = jnp.maximum(dot(window, weights) + bias[...].astype(wide)[None], 0)
            between = jnp.where(there[:, None], between, 0).astype(x.dtype)
            return total + dot(between, block(next_kernel, t * features * last, features, last))

        total = lax.fori_loop(0, TAPS, tap, jnp.zeros((TILE, last), wide))
        total = jnp.maximum(total + next_bias[...].astype(wide)[None], 0).astype(x.dtype)
        put_row(out, (image, i, j, exist), size, total)

    flops = 2 * count * TAPS * features * (width + last)
    shape = jax.ShapeDtypeStruct((count * last,), x.dtype)
    inputs = x, kernel, bias, next_kernel, next_bias
    (out,) = launch(first_layers, (tiles_of(count),), inputs, [shape], flops)
    return out.reshape(n, size, size, last)


def first_gradients(
    x: Array, kernel: Array, bias: Array, next_kernel: Array, out: Array, gradient: Array
) -> tuple[Array, Array, Array, Array]:
    """Of `first_layers` in kernel, bias, next kernel and its bias, by its result's gradient."""
    n, size, channels, features, last = *sizes_of(x, 4), *kernel.shape[2:], out.shape[-1]
    count, width, wide = n * size**2, power_of_two(TAPS * channels), wider(x)
    sums = Sums(count, ((features, last), (last,)), ((width, features), (features,)))

    def first_gradients(x, kernel, bias, next_kernel, out, gradient, total):
        weights = block(kernel, 0, width, features, TAPS * channels)

        def made(image, r, s, there):
            window = window_of(x, (image, r, s, there), 4 * size, channels)
            between = jnp.maximum(dot(window, weights) + bias[...].astype(wide)[None], 0)
            return window, between

        def given(image, i, j, exist):
            pixels = image, i, j, exist
            below = row_of(gradient, pixels, size, last)
            return jnp.where(row_of(out, pixels, size, last) != 0, below, 0)

        def of_tap(t, image, i, j, exist):
            """The next layer's gradients by one tap."""
            r, s = 2 * i + (t >> 2) - 1, 2 * j + (t & 3) - 1
            there = exist & inside(r, 2 * size) & inside(s, 2 * size)
            between = jnp.where(there[:, None], made(image, r, s, there)[1], 0).astype(x.dtype)
            below = given(image, i, j, exist)
            return dot(between, below, 0, 0), jnp.sum(below.astype(wide), 0)

        def of_class(place, image, i, j, exist):
            """The first layer's by the pixels of a class."""
            window, between = made(image, 2 * i + (place >> 1), 2 * j + (place & 1), exist)

            def add(one, total):
                di, dj, tap = met(place, one)
                weights = block(next_kernel, tap * features * last, features, last)
                return total + dot(given(image, i + di, j + dj, exist), weights, 1, 1)

            back = lax.fori_loop(0, 4, add, jnp.zeros_like(between))
            back = jnp.where(between > 0, back, 0)
            return dot(window, back.astype(x.dtype), 0, 0), jnp.sum(back, 0)

        sums.add(total, size, of_tap, of_class, wide)

    flops = 2 * count * features * (TAPS * (width + last) + CLASSES * (2 * width + 4 * last))
    inputs = x, kernel, bias, next_kernel, out, gradient
    (of_next, of_last), (of_kernel, of_bias) = sums.run(first_gradients, inputs, wide, flops)
    of_kernel = of_kernel.sum(0)[: TAPS * channels].reshape(kernel.shape)
    return of_kernel, of_bias.sum(0), of_next.reshape(next_kernel.shape), of_last[0]


def last_layers(
    x: Array, shift: Array, kernel: Array, bias: Array, last_kernel: Array
) -> tuple[Array, Array]:
    """up(relu(up(relu(x + shift)))) before it is added up, and where numbers between are above 0.

    Args:
      x, shift: [N, h, h, C], [C]; kernel, bias: [4, 4, C, F], [F]; last_kernel: [4, 4, F, O]

    Returns:
      The windows of the 2 x 2 pixels between that lie on a pixel, [N, 6h, 6h, O], and a word
      for each pixel between, [N, 2h, 2h]: bit f is set where channel f is above 0.
    """
    n, size, channels, features, outputs = *sizes_of(x, 1), *kernel.shape[2:], last_kernel.shape[-1]
    count, wide, width = n * size**2, wider(x), SPAN**2 * outputs
    across = SPAN * outputs

    def last_layers(x, shift, kernel, bias, last_kernel, out, words):
        image, i, j, exist = pixels = pixels_of(pl.program_id(0), size, count)
        q = iota(power_of_two(width))
        pixel, output = split(q, outputs)
        u, v = split(pixel, SPAN)

        def of_class(place, total):
            r, s = place >> 1, place & 1
            between = _up(x, shift, kernel, bias, pixels, place, size)
            between = jnp.where(exist[:, None], between, 0)
            bits = jnp.where(between > 0, jnp.int32(1) << iota(features)[None], 0)
            at = (image * 2 * size + 2 * i + r) * 2 * size + 2 * j + s
            triton.store(words.at[at], jnp.sum(bits, 1, dtype=jnp.int32), mask=exist)
            # The windows lie two pixels apart.
            a, b = u - 2 * r, v - 2 * s
            used = inside(a, 4) & inside(b, 4) & (q < width)
            index = (TAPS - 1 - 4 * a - b)[None] * features + iota(features)[:, None]
            index = index * outputs + output[None]
            used = jnp.broadcast_to(used[None], index.shape)
            weights = triton.load(last_kernel.at[index], mask=used, other=0)
            return total + dot(between.astype(x.dtype), weights)

        zeros = jnp.zeros((TILE, power_of_two(width)), wide)
        total = lax.fori_loop(0, CLASSES, of_class, zeros).astype(x.dtype)
        row = ((image * size + i)[:, None] * SPAN + u[None]) * size * across
        index = row + j[:, None] * across + (v * outputs + output)[None]
        triton.store(out.at[index], total, mask=exist[:, None] & (q < width)[None])

    flops = 2 * count * CLASSES * features * (4 * channels + power_of_two(width))
    outs = [
        jax.ShapeDtypeStruct((count * width,), x.dtype),
        jax.ShapeDtypeStruct((count * CLASSES,), jnp.int32),
    ]
    inputs = x, shift, kernel, bias, last_kernel
    out, words = launch(last_layers, (tiles_of(count),), inputs, outs, flops, warps=8)
    shape = n, SPAN * size, SPAN * size, outputs
    return out.reshape(shape), words.reshape(n, 2 * size, 2 * size)


def last_gradient(
    x: Array, shift: Array, words: Array, kernel: Array, last_kernel: Array, gradient: Array
) -> Array:
    """Of `last_layers` in x, by the gradient [N, 4h, 4h, O] of what they give."""
    n, size, channels, features, outputs = (
        *sizes_of(gradient, 4),
        *kernel.shape[2:],
        last_kernel.shape[-1],
    )
    count, width, wide = n * size**2, power_of_two(TAPS * outputs), wider(gradient)

    def last_gradient(x, shift, words, kernel, last_kernel, gradient, out):
        image, i, j, exist = pixels = pixels_of(pl.program_id(0), size, count)
        weights = _reversed(last_kernel, width, features, outputs)

        def tap(t, total):
            r, s = 2 * i + (t >> 2) - 1, 2 * j + (t & 3) - 1
            there = exist & inside(r, 2 * size) & inside(s, 2 * size)
            back = _back(gradient, words, weights, (image, r, s, there), size, outputs)
            back = back.astype(gradient.dtype)
            at = (TAPS - 1 - t) * channels * features
            return total + dot(back, block(kernel, at, channels, features), 1, 1)

        total = lax.fori_loop(0, TAPS, tap, jnp.zeros((TILE, channels), wide))
        total = jnp.where(_input(x, shift, pixels, size) > 0, total, 0)
        put_row(out, pixels, size, total.astype(gradient.dtype))

    flops = 2 * count * TAPS * features * (width + channels)
    shape = jax.ShapeDtypeStruct((count * channels,), gradient.dtype)
    inputs = x, shift, words, kernel, last_kernel, gradient
    (out,) = launch(last_gradient, (tiles_of(count),), inputs, [shape], flops)
    return out.reshape(n, size, size, channels)


def last_gradients(
    x: Array,
    shift: Array,
    kernel: Array,
    bias: Array,
    last_kernel: Array,
    words: Array,
    gradient: Array,
    of_x: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """Of `last_layers` in shift, kernel, bias and last kernel; and in a bias added behind."""
    n, size, channels, features, outputs = *sizes_of(x, 1), *kernel.shape[2:], last_kernel.shape[-1]
    count, width, wide = n * size**2, power_of_two(TAPS * outputs), wider(x)
    sums = Sums(
        count,
        ((channels, features), (features,)),
        ((width, features), (width,), (channels,)),
    )

    def last_gradients(x, shift, kernel, bias, last_kernel, words, gradient, of_x, total):
        weights = _reversed(last_kernel, width, features, outputs)

        def of_tap(t, image, i, j, exist):
            """The layer's gradients before the last by one tap."""
            r, s = 2 * i + (t >> 2) - 1, 2 * j + (t & 3) - 1
            there = exist & inside(r, 2 * size) & inside(s, 2 * size)
            back = _back(gradient, words, weights, (image, r, s, there), size, outputs)
            mine = _input(x, shift, (image, i, j, exist), size)
            return dot(mine, back.astype(x.dtype), 0, 0), jnp.sum(back, 0)

        def of_class(place, image, i, j, exist):
            """The last layer's by the pixels of a class."""
            between = _up(x, shift, kernel, bias, (image, i, j, exist), place, size)
            r, s = 2 * i + (place >> 1), 2 * j + (place & 1)
            window = window_of(gradient, (image, r, s, exist), 4 * size, outputs)
            of_last = dot(window, between.astype(x.dtype), 0, 0)
            once = image, i, j, exist & (place == 0)  # one class reads them for all
            of_shift = jnp.sum(row_of(of_x, once, size, channels).astype(wide), 0)
            return of_last, jnp.sum(window.astype(wide), 0), of_shift

        sums.add(total, size, of_tap, of_class, wide)

    flops = 2 * count * features * (TAPS + CLASSES) * (width + channels)
    inputs = x, shift, kernel, bias, last_kernel, words, gradient, of_x
    (of_kernel, of_bias), (of_last, of_windows, of_shift) = sums.run(
        last_gradients, inputs, wide, flops
    )
    of_last = of_last.sum(0)[: TAPS * outputs].reshape(4, 4, outputs, features)
    # Each pixel between, and each of the logits, is in the middle of one window alone.
    middle = of_windows.sum(0)[: TAPS * outputs].reshape(4, 4, outputs)[1:3, 1:3]
    return (
        of_shift[0],
        of_kernel[::-1].reshape(kernel.shape),
        of_bias.reshape(4, 4, features)[1:3, 1:3].sum((0, 1)),
        of_last[::-1, ::-1].swapaxes(2, 3),
        # Not as a sum, which would be a kernel.
        middle[0, 0] + middle[0, 1] + middle[1, 0] + middle[1, 1],
    )


def _input(x: Any, shift: Any, pixels: Any, size: int) -> Array:
    """relu(x + shift) at pixels, 0 where there are none: [TILE, C]."""
    _, i, j, exist = pixels
    there = exist & inside(i, size) & inside(j, size)
    row = row_of(x, pixels, size, shift.shape[0]).astype(wider(x))
    row = jnp.maximum(row + shift[...].astype(row.dtype)[None], 0)
    return jnp.where(there[:, None], row, 0).astype(x.dtype)


def _up(x: Any, shift: Any, kernel: Any, bias: Any, pixels: Any, place: Any, size: int) -> Array:
    """relu(up(relu(x + shift)) + bias) at the pixels of a class: [TILE, F]."""
    image, i, j, exist = pixels
    channels, features = shift.shape[0], bias.shape[0]

    def add(one, total):
        di, dj, tap = met(place, one)
        mine = _input(x, shift, (image, i + di, j + dj, exist), size)
        at = (TAPS - 1 - tap) * channels * features
        return total + dot(mine, block(kernel, at, channels, features))

    total = lax.fori_loop(0, 4, add, jnp.zeros((TILE, features), wider(x)))
    return jnp.maximum(total + bias[...].astype(wider(x))[None], 0)


def _back(gradient: Any, words: Any, weights: Array, pixels: Any, size: int, outputs: int) -> Array:
    """The gradient in pixels of a decoder's map between: [TILE, F]."""
    image, r, s, there = pixels
    window = window_of(gradient, pixels, 4 * size, outputs)
    at = (image * 2 * size + r) * 2 * size + s
    word = triton.load(words.at[at], mask=there, other=0)
    positive = (word[:, None] >> iota(weights.shape[1])[None]) & 1
    return jnp.where(positive != 0, dot(window, weights), 0)


def _reversed(ref: Any, width: int, features: int, outputs: int) -> Array:
    """A kernel [4, 4, F, O] as a matrix from windows, (row, column, O) -> F."""
    q = iota(width)
    pixel, output = split(q, outputs)
    index = (TAPS - 1 - pixel)[:, None] * features + iota(features)[None]
    index = index * outputs + output[:, None]
    there = jnp.broadcast_to((q < TAPS * outputs)[:, None], index.shape)
    return triton.load(ref.at[index], mask=there, other=0)
