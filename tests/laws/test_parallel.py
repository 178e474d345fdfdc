"""Losses do not depend on the number of devices, nor on the mode; work is shared by all."""

import re

import jax
import numpy as np
import pytest

from devae_jax.objectives import METHODS
from devae_jax.program import plan as programs
from devae_jax.training.engine import MODES, Steps, engine, mesh_of
from devae_jax.training.platform import ACCELERATOR, CPU
from tests.laws.registry import METHODS_AND_LAYERS, config_of

SETTINGS = [(mode, count) for mode in MODES for count in (1, 2, 4, 8)][1:]
MOST_TELLING = [("jit", 4), ("pmap", 4)]
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def check_losses(plan, settings):
    """Three steps from the same seed: the global batch, its noise and its statistics agree."""
    one = engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    start = jax.device_get(jax.tree.map(raw, one.init()))
    expected = losses(one, start)
    for mode, count in settings:
        many = engine(plan.program, plan.hparams, mode=mode, devices=jax.devices()[:count])
        np.testing.assert_allclose(
            losses(many, start), expected, rtol=1e-5, atol=1e-5, err_msg=f"{mode} x {count}"
        )


def raw(leaf):
    """Keys as numbers, which can be read from the device."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def losses(bound, start):
    def place(leaf, abstract):
        if jax.dtypes.issubdtype(abstract.dtype, jax.dtypes.prng_key):
            leaf = jax.random.wrap_key_data(leaf)
        return jax.device_put(leaf, abstract.sharding)

    _, metrics = bound.advance(jax.tree.map(place, start, bound.abstract), 0, 3)
    return metrics["loss"]


def compiled(plan, mode, count):
    return Steps(plan.program, mesh_of(jax.devices()[:count]), mode).lower(plan.hparams).compile()


def collectives(program):
    """How many of each kind there are in a compiled program."""
    text = program.as_text()
    return {kind: len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in COLLECTIVES}


def check_work(plan, mode):
    """On 4 devices each does a quarter, but for the optimiser; few messages, none for nothing.

    The latents are gathered (mean and log-variance), and their gradients scattered; one message
    averages gradients and metrics.
    """
    one, four = (compiled(plan, mode, count) for count in (1, 4))
    share = four.cost_analysis()["flops"] / one.cost_analysis()["flops"]
    assert share < 0.33, f"each device's share is {share:.3f}"
    found = collectives(four)
    assert found["all-reduce"] <= 1
    assert found["all-gather"] <= 2
    assert found["reduce-scatter"] <= 2
    assert found["all-to-all"] == found["collective-permute"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_devices_and_modes(method):
    check_losses(programs.plan(config_of(method)), MOST_TELLING)


@pytest.mark.parametrize("method", METHODS)
def test_every_device_does_its_share(method):
    config = config_of(method)
    config.batch_size = 128
    check_work(programs.plan(config), "jit")


@pytest.mark.parametrize("convolution", ["native", "fast"])
@pytest.mark.parametrize("mode", MODES)
def test_shares_of_the_published_network(mode, convolution):
    config = config_of("devae")
    config.model.update({"encoder": "conv", "decoder": "conv", "convolution": convolution})
    config.data.image_size, config.batch_size = 32, 128
    check_work(programs.plan(config), mode)


@pytest.mark.slow
@pytest.mark.parametrize("method, num_layers", METHODS_AND_LAYERS)
def test_all_devices_and_modes(method, num_layers):
    check_losses(programs.plan(config_of(method, num_layers)), SETTINGS)


@pytest.mark.parametrize("mode", MODES)
def test_scanned_steps_equal_single_steps(mode):
    plan = programs.plan(config_of("devae"))
    states = []
    for form in (CPU, ACCELERATOR):
        bound = engine(plan.program, plan.hparams, mode=mode, devices=jax.devices()[:2], form=form)
        state, metrics = bound.advance(bound.init(), 0, 4)
        assert metrics["loss"].shape == (4,)
        states.append(state)
    for a, b in zip(*(jax.tree.leaves(state.params) for state in states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
