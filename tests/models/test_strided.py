"""The fast form of the convolutions is XLA's own, in values and in both gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import strided

DOWN = [(4, 3, 16), (8, 64, 64), (16, 32, 64), (32, 16, 32), (64, 1, 32)]
UP = [(4, 64, 64), (8, 64, 32), (16, 32, 16), (32, 32, 3), (32, 16, 1), (32, 32, 1), (8, 3, 3)]
CASES = [("down", *case) for case in DOWN] + [("up", *case) for case in UP]


def cases(chosen):
    return pytest.mark.parametrize("name, size, channels, features", chosen)


def arrays(name, size, channels, features, *, kernel=4, members=(), dtype=jnp.float32):
    """Images, kernel and cotangent of the output, all of them N(0, 1)."""
    out = size // 2 if name == "down" else 2 * size
    keys = jax.random.split(jax.random.key(size + channels + features), 3)
    shapes = (
        (2, size, size, channels),
        (*members, kernel, kernel, channels, features),
        (*members, 2, out, out, features),
    )
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)]


def apply(name, convolution, images, kernel):
    maps = getattr(strided, name)(strided.to_maps(images, convolution), kernel, convolution)
    return strided.to_images(maps, convolution)


@functools.partial(jax.jit, static_argnums=(0, 1))
def value_and_grads(name, convolution, images, kernel, cotangent):
    value, pull = jax.vjp(functools.partial(apply, name, convolution), images, kernel)
    return value, *pull(cotangent)


def check(fast, native, tolerance):
    for what, a, b in zip(("value", "d images", "d kernel"), fast, native, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)), what


@cases(CASES)
def test_values_and_gradients(name, size, channels, features):
    given = arrays(name, size, channels, features)
    check(value_and_grads(name, "fast", *given), value_and_grads(name, "native", *given), 1e-5)


@cases([CASES[i] for i in (0, 2, 4, 6, 8)])
def test_in_float64(name, size, channels, features):
    with jax.enable_x64(True):
        given = arrays(name, size, channels, features, dtype=jnp.float64)
        fast, native = (value_and_grads(name, form, *given) for form in ("fast", "native"))
        assert fast[0].dtype == jnp.float64
        check(fast, native, 1e-13)


@cases([CASES[2], CASES[6]])
def test_in_bfloat16(name, size, channels, features):
    given = arrays(name, size, channels, features)
    low = [x.astype(jnp.bfloat16) for x in given]
    fast = value_and_grads(name, "fast", *low)
    assert all(x.dtype == jnp.bfloat16 for x in fast)
    check(fast, value_and_grads(name, "native", *given), 2e-2)


@cases([CASES[0], CASES[2], CASES[6]])
def test_under_vmap_over_weights(name, size, channels, features):
    """A population: every member has its own kernel, all see the same images."""
    images, kernels, cotangents = arrays(name, size, channels, features, members=(3,))
    run = functools.partial(value_and_grads, name)
    fast = jax.vmap(functools.partial(run, "fast"), (None, 0, 0))(images, kernels, cotangents)
    for member in range(3):
        native = run("native", images, kernels[member], cotangents[member])
        check([x[member] for x in fast], native, 1e-5)


@cases([CASES[0], CASES[5], CASES[8], CASES[11]])
def test_second_derivatives(name, size, channels, features):
    """A gradient penalty differentiates the gradient by the image once more.

    In float64: the sine of a sum of a thousand products magnifies float32's rounding.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def penalty_grads(convolution, images, kernel, cotangent):
        def penalty(images, kernel):
            _, pull = jax.vjp(lambda x: apply(name, convolution, jnp.tanh(x), kernel), images)
            return jnp.sum(jnp.sin(pull(cotangent)[0]))

        return penalty(images, kernel), *jax.grad(penalty, argnums=(0, 1))(images, kernel)

    with jax.enable_x64(True):
        given = arrays(name, size, channels, features, dtype=jnp.float64)
        check(penalty_grads("fast", *given), penalty_grads("native", *given), 1e-12)


@pytest.mark.parametrize("name", ["down", "up"])
def test_other_kernels_take_both_layouts(name):
    given = arrays(name, 8, 4, 6, kernel=2)
    check(value_and_grads(name, "fast", *given), value_and_grads(name, "native", *given), 1e-5)


def test_up_is_the_adjoint_of_down():
    """<down(x), y> = <x, up(y)> for the kernel with taps and channels reversed."""
    for form in ("fast", "native"):
        x, kernel, y = arrays("down", 16, 3, 5)
        adjoint = kernel[::-1, ::-1].swapaxes(2, 3)
        left = jnp.sum(apply("down", form, x, kernel) * y)
        np.testing.assert_allclose(left, jnp.sum(x * apply("up", form, y, adjoint)), rtol=1e-4)


def test_layouts_are_inverse():
    images = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    for form, shape in (("fast", (3, 4, 6, 2)), ("native", images.shape)):
        maps = strided.to_maps(images, form)
        assert maps.shape == shape
        assert maps.shape[strided.channel_axis(form)] == 3
        np.testing.assert_array_equal(strided.to_images(maps, form), images)


def test_choose():
    """The platform decides that the program is for, not the one of this process."""
    for platform, convolution in (("cpu", "fast"), ("gpu", "cells"), ("tpu", "native")):
        assert strided.choose("auto", platform) == convolution
        assert strided.choose("native", platform) == "native"
        assert strided.choose("fast", platform) == "fast"
        assert strided.choose("fused", platform) == ("fused" if platform == "gpu" else "cells")
    with pytest.raises(ValueError, match=r"'natve', expected one of .* did you mean 'native'"):
        strided.choose("natve", "cpu")
