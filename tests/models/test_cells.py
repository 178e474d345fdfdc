"""A decoder's last two layers on cells of pixels are the native ones, in values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import cells, strided
from devae_jax.models.conv_nets import ConvDecoder, DlibDecoder
from devae_jax.models.layers import Style
from tests.models.derivatives import penalty_grads

WHAT = ("value", "d x", "d kernel", "d bias", "d last kernel", "d last bias")


def native(x, kernel, bias, last_kernel, last_bias):
    between = jnp.maximum(strided.up(x, kernel) + bias.reshape(1, 1, 1, -1), 0)
    return strided.up(between, last_kernel) + last_bias.reshape(1, 1, 1, -1)


def arrays(channels, dtype, members=()):
    """Maps, parameters and the output's cotangent, all N(0, 1)."""
    keys = jax.random.split(jax.random.key(channels), 6)
    weights = ((4, 4, 6, 5), (5,), (4, 4, 5, channels), (channels,))
    shapes = [(2, 4, 8, 6), *((*members, *shape) for shape in weights), (2, 16, 32, channels)]
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)]


@functools.partial(jax.jit, static_argnums=0)
def value_and_grads(function, *given):
    value, pull = jax.vjp(function, *given[:-1])
    return value, *pull(given[-1])


def check(ours, expected, tolerance):
    for what, a, b in zip(WHAT, ours, expected, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)), what


CASES = [(1, "float64", 1e-13), (3, "float64", 1e-13), (1, "float32", 1e-5), (1, "bfloat16", 3e-2)]


@pytest.mark.parametrize(
    "channels, dtype, tolerance",
    [
        case if case[1] == "float64" else pytest.param(*case, marks=pytest.mark.slow)
        for case in CASES
    ],
)
def test_values_and_gradients(channels, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        given = arrays(channels, dtype)
        ours = value_and_grads(cells.last_layers, *given)
        assert all(x.dtype == dtype for x in ours)
        # XLA:CPU sums in bfloat16 where the derivative of a broadcast does.
        wide = [x.astype(jnp.promote_types(dtype, "float32")) for x in given]
        check(ours, value_and_grads(native, *wide), tolerance)


@pytest.mark.slow
def test_under_vmap_over_weights():
    """A population: every member has its own kernels, all see the same maps."""
    given = arrays(1, "float32", members=(3,))
    axes = (None, 0, 0, 0, 0, None)
    ours = jax.vmap(functools.partial(value_and_grads, cells.last_layers), axes)(*given)
    for member in range(3):
        weights = [x[member] for x in given[1:-1]]
        expected = value_and_grads(native, given[0], *weights, given[-1])
        check([x[member] for x in ours], expected, 1e-5)


@pytest.mark.slow
def test_second_derivatives():
    """A gradient penalty differentiates the gradient once more."""
    with jax.enable_x64(True):
        given = arrays(1, "float64")
        ours, expected = (penalty_grads(f, *given) for f in (cells.last_layers, native))
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(b)))


@pytest.mark.slow
@pytest.mark.parametrize("decoder", [ConvDecoder, DlibDecoder])
def test_parameters_of_a_decoder_mean_the_same(decoder):
    z = jax.random.normal(jax.random.key(1), (2, 3))
    forms = [decoder((64, 64, 1), 4, Style(convolution=form)) for form in ("native", "cells")]
    params, same = (jax.jit(form.init)(jax.random.key(0), z) for form in forms)
    jax.tree.map(np.testing.assert_array_equal, params, same)
    expected, ours = (jax.jit(form.apply)(params, z) for form in forms)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
