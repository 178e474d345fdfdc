"""Layers without the map between them are the native ones: values, gradients, programs for GPUs.

Triton's kernels run only on a GPU. Here they are interpreted, statement by statement, and lowered.
"""

import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from devae_jax.models import conv_nets, fused, strided, tiles
from devae_jax.models.layers import Style
from tests.models.derivatives import penalty_grads


def native_last(x, shift, kernel, bias, last_kernel, last_bias):
    x = jnp.maximum(x + shift.reshape(1, 1, 1, -1), 0)
    between = jnp.maximum(strided.up(x, kernel) + bias.reshape(1, 1, 1, -1), 0)
    return strided.up(between, last_kernel) + last_bias.reshape(1, 1, 1, -1)


def native_first(x, kernel, bias, next_kernel, next_bias):
    between = jnp.maximum(strided.down(x, kernel) + bias.reshape(1, 1, 1, -1), 0)
    return jnp.maximum(strided.down(between, next_kernel) + next_bias.reshape(1, 1, 1, -1), 0)


ENDS = {"first": (fused.first_layers, native_first), "last": (fused.last_layers, native_last)}


@pytest.fixture
def interpreted(monkeypatch):
    call = functools.partial(tiles.pl.pallas_call, interpret=True)
    monkeypatch.setattr(tiles.pl, "pallas_call", call)


def shapes(end, images, size, channels, between=16, small=16, members=()):
    """Of maps, parameters and the result's cotangent: small maps of a size."""
    large, little = (images, 4 * size, 4 * size, channels), (images, size, size, small)
    first, second = (channels, between), (between, small)
    if end == "last":
        large, little, first, second = little, large, second[::-1], first[::-1]
    weights = [(4, 4, *first), first[1:], (4, 4, *second), second[1:]]
    if end == "last":
        weights = [(small,), *weights]
    return [large, *((*members, *shape) for shape in weights), little]


def arrays(end, *args, dtype="float32", **kwargs):
    """N(0, 1)."""
    made = shapes(end, *args, **kwargs)
    keys = jax.random.split(jax.random.key(len(end)), len(made))
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, made, strict=True)]


def value_and_grads(function, *given):
    value, pull = jax.vjp(function, *given[:-1])
    return value, *pull(given[-1])


def check(ours, expected, tolerance):
    what = "value", "d x", "d shift", "d kernel", "d bias", "d next kernel", "d next bias"
    what = what if len(ours) == len(what) else (*what[:2], *what[3:])
    for name, a, b in zip(what, ours, expected, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)), name


# 12 pixels, a part of a tile; 3 tiles, two of which one program takes, with channels to spare.
PART, TILES = (3, 2, 1), (3, 8, 3)
CASES = [
    ("float64", 1e-13, PART, (16, 16)),
    ("float32", 1e-5, TILES, (16, 32)),
    pytest.param("float32", 1e-5, (2, 16, 1), (32, 32), marks=pytest.mark.slow),
    # Rounding moves numbers across a ReLU's 0.
    pytest.param("bfloat16", 8e-2, (5, 4, 3), (32, 64), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("dtype, tolerance, where, widths", CASES)
def test_values_and_gradients(end, dtype, tolerance, where, widths, interpreted, monkeypatch):
    monkeypatch.setattr(tiles, "PROGRAMS", 2)
    ours, native = ENDS[end]
    with jax.enable_x64(dtype == "float64"):
        given = arrays(end, *where, *widths, dtype=dtype)
        found = jax.jit(functools.partial(value_and_grads, ours))(*given)
        assert all(x.dtype == dtype for x in found)
        wide = [x.astype(jnp.promote_types(dtype, "float32")) for x in given]
        check(found, jax.jit(functools.partial(value_and_grads, native))(*wide), tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["at once", "in turn"])
@pytest.mark.parametrize("end", ENDS)
def test_members(end, form, interpreted):
    """A population: every member has its own parameters, all see the same images."""
    ours, native = ENDS[end]
    x, *weights, gradient = arrays(end, 2, 4, 1, members=(3,))

    def member(weights):
        return value_and_grads(ours, x, *weights, gradient)

    over = jax.vmap(member) if form == "at once" else functools.partial(jax.lax.map, member)
    found = jax.jit(over)(weights)
    for i in range(3):
        expected = value_and_grads(native, x, *(w[i] for w in weights), gradient)
        check([one[i] for one in found], expected, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_second_derivatives(end, interpreted):
    """A gradient penalty differentiates the gradient once more."""
    with jax.enable_x64(True):
        given = arrays(end, 2, 2, 1, dtype="float64")
        ours, expected = (penalty_grads(f, *given) for f in ENDS[end])
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(b)))


NETWORKS = [  # size, whether the first two layers have kernels, and the last two
    ("ConvEncoder", 64, 16, 1),
    ("DlibEncoder", 64, 16, 1),
    ("DlibEncoder", 32, 16, 0),  # a layer of 2 x 2
    ("ConvEncoder", 32, 12, 0),
    ("ConvDecoder", 64, 16, 1),
    ("ConvDecoder", 32, 32, 1),
    ("DlibDecoder", 64, 64, 0),  # more channels than a word has bits
]


@pytest.mark.slow
@pytest.mark.parametrize("name, size, width, calls", NETWORKS)
def test_parameters_of_a_network_mean_the_same(name, size, width, calls, interpreted):
    """Where there are no kernels for a network, it is as by "cells"."""
    module, shape = getattr(conv_nets, name), (size, size, 1)
    encoder = "Encoder" in name
    x = jax.random.normal(jax.random.key(1), (2, *shape) if encoder else (2, 3))
    forms = [
        module(*([] if encoder else [shape]), width, Style(convolution=form))
        for form in ("native", "fused")
    ]
    params, same = (form.init(jax.random.key(0), x) for form in forms)
    jax.tree.map(np.testing.assert_array_equal, params, same)
    expected, ours = (jax.jit(form.apply)(params, x) for form in forms)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    traced = str(jax.make_jaxpr(forms[1].apply)(params, x))
    assert traced.count("pallas_call[") == calls


@pytest.mark.parametrize("end", ENDS)
def test_lowers_for_gpus(end):
    """Forward one kernel; back those of the parameters, and of a decoder's input."""
    plugins = "jax_cuda12_plugin", "jax_cuda13_plugin"
    if jax.__version_info__ >= (0, 11) and not any(map(importlib.util.find_spec, plugins)):
        pytest.skip("jax compiles Triton's kernels when it lowers: pip install 'devae_jax[cuda]'")
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    mesh = AbstractMesh((1,), ("x",), abstract_device=device)
    given = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes(end, 2, 2, 1)]
    step = jax.jit(functools.partial(value_and_grads, ENDS[end][0]))
    with jax.sharding.use_abstract_mesh(mesh):
        text = step.trace(*given).lower(lowering_platforms=("cuda",)).as_text()
    assert len(re.findall(r"custom_call @\S*triton", text)) == {"first": 2, "last": 3}[end]
