"""The last two layers of a decoder as one function, on cells of pixels: for GPUs.

On a GPU a step's time is that of moving its largest maps. `up`, ReLU and `up` by cuDNN's kernels
go eleven times over the map between the two: the kernel that makes it takes neither bias nor ReLU,
and the one that makes its gradient takes no mask. Here it is seven times.

A cell is a square of n x n pixels, kept as channels: [N, h, w, n n C] stands for [N, n h, n w, C].
A transposed convolution to cells of 2 x 2 is a convolution of stride 1 with a 3 x 3 kernel, which
has `up`'s taps and zeros (9 products for 4), so cuDNN ends it in bias and ReLU. From cells of 2
the next one is such a convolution to cells of 4. The gradient in the map between is, for one
channel, 16 products a pixel; written out, XLA computes them where it masks and sums them.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from devae_jax.models import strided
from devae_jax.types import Array

# Pixel q of the two that a pixel becomes is the sum of tap k times its neighbour d, for (q, d): k.
_TAPS = {(0, -1): 0, (0, 0): 2, (1, 0): 1, (1, 1): 3}
_NONE = 4  # the row of zeros behind the taps
# For neighbours e of a cell: of which tap a kernel's row is, [e, q] to cells of 2, and from pixel
# r of such a cell to pixel 2 p + q of a cell of 4, [e, r, p, q].
_TO_CELLS = tuple(_TAPS.get((q, e), _NONE) for e, q in itertools.product((-1, 0, 1), (0, 1)))
_FROM_CELLS = tuple(
    _TAPS.get((q, 2 * e + r - p), _NONE)
    for e, r, p, q in itertools.product((-1, 0, 1), (0, 1), (0, 1), (0, 1))
)


@jax.custom_vjp
def last_layers(
    x: Array, kernel: Array, bias: Array, last_kernel: Array, last_bias: Array
) -> Array:
    """up(relu(up(x, kernel) + bias), last_kernel) + last_bias, with `strided.up`.

    Args:
      x: maps [N, h, w, C]
      kernel, bias: [4, 4, C, F], [F]
      last_kernel, last_bias: [4, 4, F, O], [O]

    Returns:
      [N, 4h, 4w, O].
    """
    return _forward(x, kernel, bias, last_kernel, last_bias)[0]


def _forward(x, kernel, bias, last_kernel, last_bias):
    between = jnp.maximum(_convolve(x, _to_cells(kernel)) + _on_maps(jnp.tile(bias, 4)), 0)
    out = _interleave(_convolve(between, _from_cells(last_kernel)), 4)
    return out + _on_maps(last_bias), (x, kernel, between, last_kernel)


def _backward(residuals, gradient):
    x, kernel, between, last_kernel = residuals
    of_last_kernel = jax.linear_transpose(lambda w: _convolve(between, _from_cells(w)), last_kernel)
    of_between = _down(gradient, strided.adjoint(last_kernel))
    of_between = jnp.where(_interleave(between, 2) != 0, of_between, 0)
    _, pull = jax.vjp(strided.up, x, kernel)
    of_x, of_kernel = pull(of_between)
    return (
        of_x,
        of_kernel,
        jnp.sum(of_between, (0, 1, 2)),
        of_last_kernel(_cells_of_4(gradient))[0],
        jnp.sum(gradient, (0, 1, 2)),
    )


last_layers.defvjp(_forward, _backward)


def _convolve(x: Array, w: Array) -> Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=dimensions)


def _on_maps(x: Array) -> Array:
    return x.reshape(1, 1, 1, -1)


def _to_cells(kernel: Array) -> Array:
    """[4, 4, C, F] -> [3, 3, C, 2 2 F]."""
    taps = _picked(kernel, _TO_CELLS).reshape(3, 2, 3, 2, *kernel.shape[2:])
    return taps.transpose(0, 2, 4, 1, 3, 5).reshape(3, 3, kernel.shape[2], -1)


def _from_cells(kernel: Array) -> Array:
    """[4, 4, F, O] -> [3, 3, 2 2 F, 4 4 O]."""
    taps = _picked(kernel, _FROM_CELLS).reshape(3, 2, 4, 3, 2, 4, *kernel.shape[2:])
    return taps.transpose(0, 3, 1, 4, 6, 2, 5, 7).reshape(3, 3, 4 * kernel.shape[2], -1)


def _picked(kernel: Array, index: tuple[int, ...]) -> Array:
    """The taps of an index in rows and in columns."""
    # Slices: a gather would have a scatter for its gradient.
    for axis in (0, 1):
        padded = jnp.pad(kernel, [(0, int(i == axis)) for i in range(kernel.ndim)])
        rows = [lax.slice_in_dim(padded, i, i + 1, axis=axis) for i in index]
        kernel = jnp.concatenate(rows, axis)
    return kernel


def _cells_of_4(maps: Array) -> Array:
    """The inverse of `_interleave`."""
    n, h, w, _ = maps.shape
    return maps.reshape(n, h // 4, 4, w // 4, 4, -1).swapaxes(2, 3).reshape(n, h // 4, w // 4, -1)


def _interleave(cells: Array, size: int) -> Array:
    """Cells as a map: [N, h, w, size size F] -> [N, size h, size w, F].

    As a sum of maps with zeros between, none of which is made: XLA does not compute a sum, such
    as the bias's gradient, in one kernel with a transposition, but does with these.
    """
    zero, last = jnp.zeros((), cells.dtype), size - 1
    places = itertools.product(range(size), range(size))
    parts = [
        lax.pad(part, zero, ((0, 0, 0), (r, last - r, last), (s, last - s, last), (0, 0, 0)))
        for part, (r, s) in zip(jnp.split(cells, size**2, axis=-1), places, strict=True)
    ]
    return functools.reduce(jnp.add, parts)


def _down(x: Array, w: Array) -> Array:
    """`strided.down`; of one channel as a sum of products, at no less than float32's precision."""
    if x.shape[-1] > 1:
        return strided.down(x, w)
    _, h, width, _ = x.shape
    wide = jnp.promote_types(x.dtype, jnp.float32)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(wide)
    products = (
        padded[:, k : k + h : 2, j : j + width : 2] * _on_maps(w[k, j, 0].astype(wide))
        for k, j in itertools.product(range(4), range(4))
    )
    return functools.reduce(jnp.add, products).astype(x.dtype)
