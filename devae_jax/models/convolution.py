"""Strided convolutions and their transposes: `down` halves an image, `up` doubles it."""

import difflib

import jax
from jax import lax

from devae_jax.types import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def down(x: Array, w: Array, convolution: str = "native") -> Array:
    """Convolution of stride 2, SAME padding: [B, H, W, C], [k, k, C, O] -> [B, H/2, W/2, O]."""
    return lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=_LAYOUT)


def up(x: Array, w: Array, convolution: str = "native") -> Array:
    """Transposed convolution of stride 2: [B, H, W, C], [k, k, C, O] -> [B, 2H, 2W, O]."""
    return lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=_LAYOUT)


def choose(convolution: str) -> str:
    """The implementation meant by "auto" on this platform; other names are checked.

    Raises:
      ValueError: unknown name.
    """
    names = ("auto", "native", "fast")
    if convolution not in names:
        close = difflib.get_close_matches(str(convolution), names, 1, 0)[0]
        raise ValueError(
            f"got convolution={convolution!r}, expected one of {names}; did you mean {close!r}?"
        )
    if convolution == "auto":
        return "fast" if jax.default_backend() == "cpu" else "native"
    return convolution
