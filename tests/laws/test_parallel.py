"""Losses do not depend on the number of devices, nor on the mode; work is shared by all."""

import re

import jax
import numpy as np
import pytest

from devae_jax.objectives import METHODS
from devae_jax.program import plan as programs
from devae_jax.training.engine import MODES, Steps, engine, mesh_of
from devae_jax.training.platform import ACCELERATOR, CPU
from tests.laws.registry import METHODS_AND_LAYERS, Case, case, config_of, grouped

SETTINGS = [(mode, count) for mode in MODES for count in (1, 2, 4, 8)][1:]


def check_losses(plan, settings, one=None):
    """Three steps from the same seed: the global batch, its noise and its statistics agree.

    `one`: the program as compiled for one device, to be compared with.
    """
    one = one or Case(plan.config)
    start = jax.device_get(jax.tree.map(raw, one.start))
    expected = np.stack([row["loss"] for row in one.metrics[:3]])
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


def lowered(plan, mode, count):
    devices = jax.devices()[:count]
    return Steps(plan.program, mesh_of(devices, mode=mode), mode).lower(plan.hparams)


def collectives(text, names):
    """How many of each there are in a program's text."""
    return {name: len(re.findall(rf"{name}(?:-start)?\W", text)) for name in names}


def check_work(plan, *modes):
    """On 4 devices each does a quarter, but for the optimiser, and nothing else is passed on.

    Counted before compilation: the latents are gathered (mean and log-variance), and their
    gradients scattered.
    """
    whole = lowered(plan, "jit", 1).cost_analysis()["flops"]
    for mode in modes:
        four = lowered(plan, mode, 4)
        share = four.cost_analysis()["flops"] / whole
        assert share < 0.32, f"each device's share is {share:.3f}"
        names = ("all_gather", "reduce_scatter", "all_to_all", "collective_permute")
        found = collectives(four.as_text(), [f"stablehlo.{name}" for name in names])
        assert list(found.values())[:2] in ([2, 2], [0, 0]), found
        assert not any(list(found.values())[2:]), found


def check_messages(plan, mode):
    """The same of the compiled program; one message averages all gradients and metrics."""
    one, four = (lowered(plan, mode, count).compile() for count in (1, 4))
    share = four.cost_analysis()["flops"] / one.cost_analysis()["flops"]
    assert share < 0.32, f"each device's share is {share:.3f}"
    names = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
    found = collectives(four.as_text(), [rf" {name}" for name in names])
    most = dict(zip(found, (1, 2, 2, 0, 0), strict=True))
    assert all(found[name] <= most[name] for name in found), found


def wide(method):
    config = config_of(method)
    config.batch_size = 128
    return programs.plan(config)


FEW = ("vae", "factor_vae", "infogan", "devae")
# Do what one of the others does, with other numbers, schedules or networks, on each row alone.
ALIKE = (
    *("beta_vae", "annealed_vae", "cascade_vae_c", "control_vae", "exponential_annealing"),
    *("ada_ml_vae", "infogan_minimax", "devae_capacity", "devae_single", "devae_parallel"),
    "devae_linear",
)


def some(chosen):
    """All methods, of which those that are not chosen are slow."""
    return [m if m in chosen else pytest.param(m, marks=pytest.mark.slow) for m in METHODS]


TWO = some(("factor_vae", "devae"))


def usual(method):
    """A method with its own number of layers, in the group of its other laws."""
    return grouped(method, config_of(method).model.get("num_layers", 1))


def check_method(method, num_layers, settings):
    one = case(method, num_layers, "bernoulli")
    check_losses(one.plan, settings, one)


@pytest.mark.parametrize("method, num_layers", map(usual, METHODS))
def test_devices_share_a_batch(method, num_layers):
    check_method(method, num_layers, [("jit", 4)])


@pytest.mark.parametrize("method, num_layers", map(usual, FEW))
def test_the_older_launcher_is_the_same(method, num_layers):
    check_method(method, num_layers, [("pmap", 4)])


@pytest.mark.parametrize("method", some(METHODS.keys() - set(ALIKE)))
def test_every_device_does_its_share(method):
    check_work(wide(method), "jit")


@pytest.mark.parametrize("method", TWO)
def test_every_device_does_its_share_under_the_older_launcher(method):
    check_work(wide(method), "pmap")


@pytest.mark.parametrize("method", TWO)
def test_one_message_averages_all(method):
    check_messages(wide(method), "jit")


@pytest.mark.parametrize("convolution", ["native", "fast"])
def test_shares_of_the_published_network(convolution):
    config = config_of("devae")
    config.model.update({"encoder": "conv", "decoder": "conv", "convolution": convolution})
    config.data.image_size, config.batch_size = 32, 128
    check_work(programs.plan(config), *MODES)


@pytest.mark.slow
@pytest.mark.parametrize("method, num_layers", METHODS_AND_LAYERS)
def test_all_devices_and_modes(method, num_layers):
    check_method(method, num_layers, SETTINGS)


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
