"""Gradients accumulated over parts of a batch are those of the whole, or the method is refused."""

import functools

import jax
import numpy as np
import pytest

from devae_jax.objectives import METHODS
from devae_jax.program import plan as programs
from devae_jax.training.engine import engine
from devae_jax.training.step import Layout, init, train_step
from tests.laws.registry import config_of

REFUSED = {  # what needs the batch whole
    "factor_vae": "objective.terms.discriminator",
    "beta_tcvae": "objective.terms.",
    "dip_vae_i": "objective.terms.",
    "annealed_vae": "objective.terms.kl",
    "devae_capacity": "objective.terms.kl",
    "control_vae": "the state of 'kl'",
    "infogan": "objective.name",
}


def plan_of(method, parts, **changes):
    config = config_of(method)
    config.update_from_flattened_dict({"batch_size": 16, "micro_batches": parts, **changes})
    return programs.plan(config)


def stepped(method, parts, platform, **changes):
    plan = plan_of(method, parts, **changes)
    step = jax.jit(functools.partial(train_step, plan.program, layout=Layout(platform=platform)))
    state = jax.jit(functools.partial(init, plan.program))(plan.hparams)
    return step(plan.hparams, state, plan.program.source.arrays)


def check(ours, whole):
    assert ours.keys() == whole.keys()
    # Which latents two equal images share, rounding decides: that alone is not compared.
    for name in ours.keys() - {"shared"}:
        np.testing.assert_allclose(ours[name], whole[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("method", ["devae", "ada_gvae", "devae_sampled"])
def test_a_step_in_parts_is_that_of_the_whole_batch(method):
    state, metrics = stepped(method, 1, "cpu")
    settings = [("cpu", 2), ("gpu", 4)] if method == "devae" else [("gpu", 4)]
    for platform, parts in settings:
        ours, ours_metrics = stepped(method, parts, platform)
        check(ours_metrics, metrics)
        # The moments: Adam turns the rounding of a gradient of almost nothing into a whole step.
        for a, b in zip(*map(jax.tree.leaves, (ours.opt_state, state.opt_state)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_parts_of_each_devices_rows():
    rows = []
    for count, parts in ((1, 1), (2, 4)):
        plan = plan_of("devae", parts)
        bound = engine(plan.program, plan.hparams, devices=jax.devices()[:count])
        rows.append(bound.advance(bound.init(), 0, 1)[1])
    check(*rows)


@pytest.mark.parametrize("method", REFUSED)
def test_methods_that_need_the_batch_whole_are_refused(method):
    with pytest.raises(ValueError, match=f"micro_batches=2, expected 1: .*{REFUSED[method]}"):
        plan_of(method, 2)


def test_batch_normalisation_needs_the_batch_whole():
    with pytest.raises(ValueError, match="expected 1: the state of 'model' would not"):
        plan_of("vae", 2, **{"model.encoder": "resnet14", "data.image_size": 32})


def test_every_method_is_either_exact_or_refused():
    exact = set()
    for method in METHODS:
        try:
            plan_of(method, 2)
        except ValueError:
            continue
        exact.add(method)
    assert {"vae", "beta_vae", "devae", "devae_sampled", "ada_gvae", "deft"} <= exact
    assert not exact & REFUSED.keys()


def test_a_batch_that_the_parts_do_not_divide():
    plan = plan_of("vae", 3)
    with pytest.raises(
        ValueError, match=r"batch_size=16 on 1 devices in 3 parts, .* multiple of 3"
    ):
        engine(plan.program, plan.hparams, devices=jax.devices()[:1])


def test_parts_take_less_memory():
    needed = []
    for parts in (1, 8):
        plan = plan_of("vae", parts, **{"batch_size": 64, "data.image_size": 64})
        bound = engine(plan.program, plan.hparams, devices=jax.devices()[:1])
        needed.append(bound.memory(0, 1).temporary)
    assert needed[1] < 0.75 * needed[0]
