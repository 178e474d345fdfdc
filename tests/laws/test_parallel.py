"""Losses do not depend on the number of devices, nor on the parallel mode."""

import jax
import numpy as np
import pytest

from devae_jax import build
from devae_jax.objectives import METHODS
from devae_jax.train import parallel
from tests.laws.registry import METHODS_AND_LAYERS, config_of

SETTINGS = [(mode, count) for mode in ("jit", "pmap") for count in (1, 2, 4, 8)][1:]
MOST_TELLING = [("jit", 4), ("pmap", 8)]


def check(plan, settings):
    """Three steps from the same seed: the global batch, its noise and its statistics agree."""
    one = parallel.engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    start = jax.device_get(jax.tree.map(raw, one.init()))
    expected = losses(one, start)
    for mode, count in settings:
        engine = parallel.engine(
            plan.program, plan.hparams, mode=mode, devices=jax.devices()[:count]
        )
        np.testing.assert_allclose(
            losses(engine, start), expected, rtol=1e-5, atol=1e-5, err_msg=f"{mode} x {count}"
        )


def raw(leaf):
    """Keys as numbers, which can be read from the device."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def losses(engine, start):
    def place(leaf, abstract):
        if jax.dtypes.issubdtype(abstract.dtype, jax.dtypes.prng_key):
            leaf = jax.random.wrap_key_data(leaf)
        return jax.device_put(leaf, abstract.sharding)

    _, metrics = engine.advance(jax.tree.map(place, start, engine.abstract), 0, 3)
    return metrics["loss"]


@pytest.mark.parametrize("method", METHODS)
def test_devices_and_modes(method):
    check(build.plan(config_of(method)), MOST_TELLING)


@pytest.mark.slow
@pytest.mark.parametrize("method, num_layers", METHODS_AND_LAYERS)
def test_all_devices_and_modes(method, num_layers):
    check(build.plan(config_of(method, num_layers)), SETTINGS)


def test_fused_steps_equal_single_steps():
    plan = build.plan(config_of("devae"))
    for mode in parallel.MODES:
        states = {}
        for fuse in (False, True):
            engine = parallel.engine(
                plan.program, plan.hparams, mode=mode, devices=jax.devices()[:2], fuse=fuse
            )
            states[fuse], metrics = engine.advance(engine.init(), 0, 4)
            assert metrics["loss"].shape == (4,)
        for a, b in zip(*(jax.tree.leaves(s.params) for s in states.values()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
