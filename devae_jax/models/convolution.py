"""Strided convolutions and their transposes: `down` halves a map, `up` doubles it.

Two implementations of the same function:

"native" is XLA's convolution on maps [N, H, W, C]: right for GPU and TPU.

"fast" is for XLA:CPU, whose gradients of strided and transposed convolutions are many times
slower than a matrix product of the same size. It works on maps [C, H, W, N] and writes the
convolution as one matrix product with shifted copies, so that autodiff's gradients are again
matrix products with shifted copies and nothing needs a hand-written derivative.

Cut the padded map x into 2x2 blocks, s[(r, s, c), i, j] = x[c, 2i + r - 1, 2j + s - 1]. With the
kernel index split as 2a + r and 2b + s, the 4x4 convolution of stride 2 is a 2x2 one on blocks,

    y[o, i, j] = sum_{a, b} sum_{r, s, c} w[2a + r, 2b + s, c, o] s[(r, s, c), i + a, j + b].

Each of the two shifts can be made before the product (stack both shifted inputs: more rows to
sum over) or after it (two sets of outputs, shifted and added). One of each moves the least
memory when there are many channels; with few, both before.

`up` is the adjoint of `down` in its map, for the kernel with taps and channels reversed.
"""

import difflib

import jax
import jax.numpy as jnp
from jax import lax

from devae_jax.types import Array

NAMES = ("auto", "native", "fast")
_DIMENSIONS = {"native": ("NHWC", "HWIO", "NHWC"), "fast": ("CHWN", "HWIO", "CHWN")}
_FEW_CHANNELS = 4


def choose(convolution: str) -> str:
    """The implementation meant by "auto" on this platform; other names are checked.

    Raises:
      ValueError: unknown name.
    """
    if convolution not in NAMES:
        close = difflib.get_close_matches(str(convolution), NAMES, 1, 0)[0]
        raise ValueError(
            f"got convolution={convolution!r}, expected one of {NAMES}; did you mean {close!r}?"
        )
    if convolution == "auto":
        return "fast" if jax.default_backend() == "cpu" else "native"
    return convolution


def to_maps(images: Array, convolution: str) -> Array:
    """Images [N, H, W, C] in the layout of an implementation."""
    return images.transpose(3, 1, 2, 0) if convolution == "fast" else images


def to_images(maps: Array, convolution: str) -> Array:
    """The inverse of `to_maps`."""
    return maps.transpose(3, 1, 2, 0) if convolution == "fast" else maps


def channel_axis(convolution: str) -> int:
    """Where maps have their channels."""
    return 0 if convolution == "fast" else -1


def down(x: Array, w: Array, convolution: str = "native") -> Array:
    """Convolution of stride 2, SAME padding: maps of size H, kernel [k, k, C, O] -> size H/2."""
    if convolution == "fast" and w.shape[:2] == (4, 4):
        return _down(x, w)
    return lax.conv_general_dilated(
        x, w, (2, 2), "SAME", dimension_numbers=_DIMENSIONS[convolution]
    )


def up(x: Array, w: Array, convolution: str = "native") -> Array:
    """Transposed convolution of stride 2: maps of size H, kernel [k, k, C, O] -> size 2H."""
    if convolution == "fast" and w.shape[:2] == (4, 4):
        adjoint = w[::-1, ::-1].swapaxes(2, 3)
        _, h, width, n = x.shape
        shape = jax.ShapeDtypeStruct((w.shape[3], 2 * h, 2 * width, n), x.dtype)
        return jax.linear_transpose(lambda maps: _down(maps, adjoint), shape)(x)[0]
    return lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=_DIMENSIONS[convolution])


def _down(x: Array, w: Array) -> Array:
    """[C, H, W, N], [4, 4, C, O] -> [O, H/2, W/2, N]: shift columns, multiply, shift rows."""
    c, h, width, n = x.shape
    o = w.shape[3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(c, h // 2 + 1, 2, width // 2 + 1, 2, n)
    blocks = blocks.transpose(2, 4, 0, 1, 3, 5).reshape(4 * c, h // 2 + 1, width // 2 + 1, n)
    taps = w.reshape(2, 2, 2, 2, c, o)  # a, r, b, s, c, o
    stacked = jnp.concatenate(_shifts(blocks, 2))  # (b, r, s, c)
    if c <= _FEW_CHANNELS:
        stacked = jnp.concatenate(_shifts(stacked, 1))  # (a, b, r, s, c)
        return _multiply(taps.transpose(5, 0, 2, 1, 3, 4).reshape(o, 16 * c), stacked)
    matrix = taps.transpose(0, 5, 2, 1, 3, 4).reshape(2 * o, 8 * c)  # (a, o), (b, r, s, c)
    first, second = jnp.split(_multiply(matrix, stacked), 2)
    return _shifts(first, 1)[0] + _shifts(second, 1)[1]


def _shifts(x: Array, axis: int) -> tuple[Array, Array]:
    """All but the last row (or column), and all but the first."""
    size = x.shape[axis]
    return lax.slice_in_dim(x, 0, size - 1, axis=axis), lax.slice_in_dim(x, 1, size, axis=axis)


def _multiply(matrix: Array, maps: Array) -> Array:
    """[P, C] @ [C, H, W, N] -> [P, H, W, N]."""
    return (matrix @ maps.reshape(maps.shape[0], -1)).reshape(-1, *maps.shape[1:])
