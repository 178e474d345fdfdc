"""The two ends of the networks without the map between two layers: kernels for GPUs.

The maps of half the image's size are by far the largest of a step, whose time on a GPU is that of
moving them. Here the first two layers of an encoder and the last two of a decoder are computed from
tiles of the smaller maps beside them: a kernel makes the pixels between that its tile needs, uses
them and forgets them, on the way back too. Forward, every pixel is made four times, for the four
pixels that it meets; such products are cheap beside the memory that they save.

`first_layers`, image -> relu(down) -> relu(down): back, a kernel goes over the pixels between and
sums the gradients of both layers' parameters.

`last_layers`, x -> relu -> relu(up) -> up, where the first ReLU and the bias before it end the
layer that made x: forward, what the 2 x 2 pixels between that lie on a pixel of x give to the
logits, 6 x 6 of them, is written, and XLA adds where these overlap; of a pixel between one word is
kept, which of its channels are above 0. Back, one kernel makes the gradient in x, another those of
the parameters.

A program writes the sum of its own tiles, and XLA adds these in a fixed order: no sum depends on
chance. Products have the precision set around the call; sums are float32 at least. The kernels lie
in `fused_kernels`, and Triton compiles them. Gradients in images, and of gradients, are those of
the same layers without kernels.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from devae_jax.models import fused_kernels as kernels
from devae_jax.models import strided
from devae_jax.types import Array

_CHANNELS = (16, 32, 64)  # Triton multiplies by powers of 2, from 16 on
_BITS = 32  # of a word


def fits(size: int, small: int, between: int, kernels: tuple[int, int] = (4, 4)) -> bool:
    """Whether there are kernels for two layers; those without are computed as by "cells".

    size: of the small maps, a square
    small, between: channels of these, and of the maps between
    kernels: sizes of the layers' kernels
    """
    return (
        size & (size - 1) == 0
        and small in _CHANNELS
        and between in _CHANNELS
        and between <= _BITS
        and kernels == (4, 4)
    )


@jax.custom_vjp
def first_layers(
    x: Array, kernel: Array, bias: Array, next_kernel: Array, next_bias: Array
) -> Array:
    """relu(down(relu(down(x, kernel) + bias), next_kernel) + next_bias), with `strided.down`.

    Args:
      x: images [N, 4h, 4h, C]
      kernel, bias: [4, 4, C, F], [F]
      next_kernel, next_bias: [4, 4, F, G], [G]

    Returns:
      [N, h, h, G].
    """
    return kernels.first_layers(x, kernel, bias, next_kernel, next_bias)


def _first_forward(x, *parameters):
    out = first_layers(x, *parameters)
    return out, (x, parameters, out)


def _first_backward(residuals, gradient):
    x, parameters, out = residuals
    _, pull = jax.vjp(lambda x: _plain_first(x, *parameters), x)
    return pull(gradient)[0], *_first_gradients(x, *parameters, out, gradient)


first_layers.defvjp(_first_forward, _first_backward)


@jax.custom_vjp
def last_layers(
    x: Array, shift: Array, kernel: Array, bias: Array, last_kernel: Array, last_bias: Array
) -> Array:
    """up(relu(up(relu(x + shift), kernel) + bias), last_kernel) + last_bias, with `strided.up`.

    Args:
      x: maps [N, h, h, C], what the layer before gives without its bias
      shift: that bias, [C]
      kernel, bias: [4, 4, C, F], [F]
      last_kernel, last_bias: [4, 4, F, O], [O]

    Returns:
      [N, 4h, 4h, O].
    """
    return _last_and_words(x, shift, kernel, bias, last_kernel, last_bias)[0]


def _last_forward(*primals):
    out, words = _last_and_words(*primals)
    return out, (*primals, words)


def _last_backward(residuals, gradient):
    return _last_gradients(*residuals, gradient)


last_layers.defvjp(_last_forward, _last_backward)


def _overlapped(windows: Array, axis: int) -> Array:
    """Sums of windows of 6 pixels that lie 4 apart, along an axis: 6h -> 4h."""
    shape = windows.shape
    apart = windows.reshape(*shape[:axis], -1, kernels.SPAN, *shape[axis + 1 :])
    zero = jnp.zeros((), windows.dtype)

    def part(first, count, before, after, shift):
        """Some rows of each window where they lie in it, or in the one before or behind."""
        rows = lax.slice_in_dim(apart, first, first + count, axis=axis + 1)
        padding = [(0, 0, 0)] * rows.ndim
        padding[axis], padding[axis + 1] = (shift, -shift, 0), (before, after, 0)
        return lax.pad(rows, zero, padding)

    parts = part(1, 4, 0, 0, 0) + part(5, 1, 0, 3, 1) + part(0, 1, 3, 0, -1)
    return parts.reshape(*shape[:axis], -1, *shape[axis + 1 :])


def _on_maps(x: Array) -> Array:
    return x.reshape(1, 1, 1, -1)


def _plain_first(x, kernel, bias, next_kernel, next_bias):
    for weights, added in ((kernel, bias), (next_kernel, next_bias)):
        x = jnp.maximum(strided.down(x, weights) + _on_maps(added), 0)
    return x


def _plain_last(x, shift, kernel, bias, last_kernel, last_bias):
    x = jnp.maximum(x + _on_maps(shift), 0)
    between = jnp.maximum(strided.up(x, kernel) + _on_maps(bias), 0)
    return strided.up(between, last_kernel) + _on_maps(last_bias)


def _differentiable(function: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """A function of kernels, with the gradient of the same function without them."""
    made = jax.custom_vjp(function)

    def forward(*given):
        return function(*given), given

    def backward(given, gradient):
        return jax.vjp(plain, *given)[1](gradient)

    made.defvjp(forward, backward)
    return made


def _first_of_kernels(x, kernel, bias, next_kernel, next_bias, out, gradient):
    found = kernels.first_gradients(x, kernel, bias, next_kernel, out, gradient)
    return tuple(one.astype(gradient.dtype) for one in found)


def _first_of_plain(x, kernel, bias, next_kernel, next_bias, out, gradient):
    parameters = kernel, bias, next_kernel, next_bias
    return jax.vjp(lambda *given: _plain_first(x, *given), *parameters)[1](gradient)


def _last_by_kernels(x, shift, kernel, bias, last_kernel, last_bias):
    windows, words = kernels.last_layers(x, shift, kernel, bias, last_kernel)
    return _overlapped(_overlapped(windows, 1), 2) + _on_maps(last_bias), words


def _last_by_plain(x, *parameters):
    n, h, w, _ = x.shape
    return _plain_last(x, *parameters), jnp.zeros((n, 2 * h, 2 * w), jnp.int32)


def _last_of_kernels(x, shift, kernel, bias, last_kernel, last_bias, words, gradient):
    of_x = kernels.last_gradient(x, shift, words, kernel, last_kernel, gradient)
    found = kernels.last_gradients(x, shift, kernel, bias, last_kernel, words, gradient, of_x)
    return of_x, *(one.astype(gradient.dtype) for one in found)


def _last_of_plain(*given):
    *primals, _, gradient = given
    return jax.vjp(_plain_last, *primals)[1](gradient)


_first_gradients = _differentiable(_first_of_kernels, _first_of_plain)
_last_and_words = _differentiable(_last_by_kernels, _last_by_plain)
_last_gradients = _differentiable(_last_of_kernels, _last_of_plain)
