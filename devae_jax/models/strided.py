"""Strided convolutions and their transposes: `down` halves a map, `up` doubles it.

Four implementations of the same function:

"native" is XLA's convolution on maps [N, H, W, C]: right for TPU.

"cells" is the same, but that a decoder's last two layers are one function, `cells.last_layers`:
right for GPU.

"fused" is the same, but that the two layers at the images' end of a network, an encoder's first and
a decoder's last, are Triton kernels, `fused.first_layers` and `fused.last_layers`: half the bytes
of "cells". For GPUs alone; elsewhere, and where `fused.fits` says no, it is "cells".

"fast" is for XLA:CPU, whose gradients of strided and transposed convolutions are many times
slower than a matrix product of the same size. It works on maps [C, H, W, N] and writes the
convolution and both of its gradients as one matrix product each, with shifted copies.

Cut the padded map x into 2x2 blocks, s[(r, s, c), i, j] = x[c, 2i + r - 1, 2j + s - 1]. With the
kernel index split as 2a + r and 2b + s, the 4x4 convolution of stride 2 is a 2x2 one on blocks,

    y[o, i, j] = sum_{a, b} sum_{r, s, c} w[2a + r, 2b + s, c, o] s[(r, s, c), i + a, j + b].

Each of the two shifts can be made before the product (stack both shifted inputs: more rows to
sum over) or after it (two sets of outputs, shifted and added). One of each moves the least
memory when there are many channels; with few, both before. So with the kernel as a matrix M,

    down(x) = fold(M gather(x)),    up(y) = scatter(M' spread(y)),    dM = spread(y) gather(x)'

where gather cuts and shifts columns, fold shifts rows and adds, and scatter and spread are their
adjoints: `up` is the adjoint of `down`, and the gradients of either are the other two lines.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from devae_jax.names import unknown
from devae_jax.types import Array

NAMES = ("auto", "native", "cells", "fused", "fast")
_DIMENSIONS = {"native": ("NHWC", "HWIO", "NHWC"), "fast": ("CHWN", "HWIO", "CHWN")}
_DIMENSIONS["cells"] = _DIMENSIONS["fused"] = _DIMENSIONS["native"]
# Elsewhere native. "fused" has been compiled for a GPU and counted, not yet timed on one.
_ON = {"cpu": "fast", "gpu": "cells"}
_FEW_CHANNELS = 4


def choose(convolution: str, platform: str) -> str:
    """The implementation meant by a name on a platform (`Context.platform`); checks the name.

    Raises:
      ValueError: unknown name.
    """
    if convolution not in NAMES:
        raise unknown("convolution", convolution, NAMES)
    if convolution == "auto":
        return _ON.get(platform, "native")
    if convolution == "fused" and platform != "gpu":
        return "cells"
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
        return _up(x, adjoint(w))
    return _transposed(convolution, x, adjoint(w))


def adjoint(w: Array) -> Array:
    """The kernel of the `down` that `up` with this kernel is the adjoint of; and back."""
    return w[::-1, ::-1].swapaxes(2, 3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transposed(convolution: str, x: Array, w: Array) -> Array:
    """The adjoint of `down(..., w)` in its map.

    By transposition of a convolution, which compilers know and cuDNN has kernels for:
    `lax.conv_transpose` and its gradients are compiled for GPUs as convolutions over maps with
    zeros in them, and copies.
    """
    rows = [axis for axis, name in enumerate(_DIMENSIONS[convolution][0]) if name in "HW"]
    shape = [2 * n if axis in rows else n for axis, n in enumerate(x.shape)]
    shape[channel_axis(convolution)] = w.shape[2]
    maps = jax.ShapeDtypeStruct(tuple(shape), x.dtype)
    return jax.linear_transpose(lambda m: down(m, w, convolution), maps)(x)[0]


def _transposed_forward(convolution, x, w):
    return _transposed(convolution, x, w), (x, w)


def _transposed_backward(convolution, residuals, gradient):
    x, w = residuals
    kernel_of = jax.linear_transpose(lambda kernel: down(gradient, kernel, convolution), w)
    return down(gradient, w, convolution), kernel_of(x)[0]


_transposed.defvjp(_transposed_forward, _transposed_backward)


@jax.custom_vjp
def _down(x: Array, w: Array) -> Array:
    """[C, H, W, N], [4, 4, C, O] -> [O, H/2, W/2, N]."""
    return _down_forward(x, w)[0]


def _down_forward(x, w):
    gathered = _gather(x)
    inputs, outputs = _axes(w)
    return _fold(_multiply(_matrix(w, outputs, inputs), gathered), w), (gathered, w)


def _down_backward(residuals, gradient):
    gathered, w = residuals
    return _up(gradient, w), _kernel_gradient(gathered, _spread(gradient, w), w)


_down.defvjp(_down_forward, _down_backward)


@jax.custom_vjp
def _up(y: Array, w: Array) -> Array:
    """[O, h, w, N], [4, 4, C, O] -> [C, 2h, 2w, N]: the adjoint of `_down` in its map."""
    return _up_forward(y, w)[0]


def _up_forward(y, w):
    spread = _spread(y, w)
    inputs, outputs = _axes(w)
    return _scatter(_multiply(_matrix(w, inputs, outputs), spread), w), (spread, w)


def _up_backward(residuals, gradient):
    spread, w = residuals
    return _down(gradient, w), _kernel_gradient(_gather(gradient), spread, w)


_up.defvjp(_up_forward, _up_backward)


def _few(channels: int) -> bool:
    return channels <= _FEW_CHANNELS


def _axes(w: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which of the kernel's axes (a, r, b, s, c, o) meet the gathered map, and which the other."""
    return ((0, 2, 1, 3, 4), (5,)) if _few(w.shape[2]) else ((2, 1, 3, 4), (0, 5))


def _matrix(w: Array, rows: tuple[int, ...], columns: tuple[int, ...]) -> Array:
    # Transposed in one go: XLA:CPU multiplies far slower by the transpose of a matrix.
    taps = w.reshape(2, 2, 2, 2, *w.shape[2:]).transpose(*rows, *columns)
    return taps.reshape(math.prod(taps.shape[: len(rows)]), -1)


def _kernel_gradient(gathered: Array, spread: Array, w: Array) -> Array:
    inputs, outputs = _axes(w)
    order = (*inputs, *outputs)
    matrix = gathered.reshape(gathered.shape[0], -1) @ spread.reshape(spread.shape[0], -1).T
    taps = matrix.reshape([(2, 2, 2, 2, *w.shape[2:])[axis] for axis in order])
    return taps.transpose(sorted(range(6), key=order.__getitem__)).reshape(w.shape)


def _gather(x: Array) -> Array:
    """[C, H, W, N] -> [(b, r, s, c), H/2 + 1, W/2, N], or [(a, b, r, s, c), H/2, W/2, N]."""
    c, h, width, n = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(c, h // 2 + 1, 2, width // 2 + 1, 2, n)
    blocks = blocks.transpose(2, 4, 0, 1, 3, 5).reshape(4 * c, h // 2 + 1, width // 2 + 1, n)
    columns = jnp.concatenate([blocks[:, :, :-1], blocks[:, :, 1:]])
    return jnp.concatenate([columns[:, :-1], columns[:, 1:]]) if _few(c) else columns


def _scatter(gathered: Array, w: Array) -> Array:
    """The adjoint of `_gather`."""
    c = w.shape[2]
    columns = _overlap(gathered, 1) if _few(c) else gathered
    blocks = _overlap(columns, 2)
    _, h, width, n = blocks.shape
    maps = blocks.reshape(2, 2, c, h, width, n).transpose(2, 3, 0, 4, 1, 5)
    return maps.reshape(c, 2 * h, 2 * width, n)[:, 1:-1, 1:-1]


def _fold(y: Array, w: Array) -> Array:
    """[(a, o), h + 1, w, N] -> [o, h, w, N]; few channels: nothing to do."""
    if _few(w.shape[2]):
        return y
    first, second = jnp.split(y, 2)
    return first[:, :-1] + second[:, 1:]


def _spread(y: Array, w: Array) -> Array:
    """The adjoint of `_fold`."""
    return y if _few(w.shape[2]) else jnp.concatenate([_pad(y, 1, 0), _pad(y, 1, 1)])


def _overlap(x: Array, axis: int) -> Array:
    """Adds the halves of the rows, the second shifted by one along `axis`."""
    first, second = jnp.split(x, 2)
    return _pad(first, axis, 0) + _pad(second, axis, 1)


def _pad(x: Array, axis: int, before: int) -> Array:
    """One zero before or after."""
    return jnp.pad(x, [(before, 1 - before) if i == axis else (0, 0) for i in range(x.ndim)])


def _multiply(matrix: Array, maps: Array) -> Array:
    """[P, C] @ [C, H, W, N] -> [P, H, W, N]."""
    return (matrix @ maps.reshape(maps.shape[0], -1)).reshape(-1, *maps.shape[1:])
