"""Populations: each member equals its solo run, and members never communicate."""

import functools
import re

import jax
import numpy as np
import pytest

from devae_jax.program import plan as programs
from devae_jax.training.engine import Steps, engine, mesh_of
from devae_jax.training.platform import ACCELERATOR, AT_ONCE, CPU
from devae_jax.training.step import Layout
from devae_jax.training.trees import part
from tests.laws.registry import config_of

pytestmark = pytest.mark.xdist_group("populations")  # what its tests share is made once

COLLECTIVES = re.compile(
    r"stablehlo\.(all_reduce|all_gather|all_to_all|collective_permute|reduce_scatter)"
)


def plan_of(method, count):
    members = [{"seed": i, "optimizer.learning_rate": 1e-3 * (i + 1)} for i in range(count)]
    return programs.plan(config_of(method), members)


@functools.cache
def solo(method, index, steps):
    plan = plan_of(method, index + 1)
    bound = engine(plan.program, plan.members[index].hparams, devices=jax.devices()[:1])
    return bound.advance(bound.init(), 0, steps)


SETTINGS = [  # single calls; in one program at once, in turn, with batches split, under pmap
    ("dynamic_vae", "jit", CPU, 2, 2),
    ("devae", "pmap", CPU, 2, 2),
    ("devae", "jit", AT_ONCE, 4, 2),
    ("devae", "jit", ACCELERATOR, 4, 2),
    ("dip_vae_i", "jit", ACCELERATOR, 2, 4),
    ("devae", "pmap", ACCELERATOR, 2, 2),
]


@pytest.mark.parametrize("method, mode, form, members, devices", SETTINGS)
def test_members_equal_solo_runs(method, mode, form, members, devices):
    plan = plan_of(method, members)
    bound = engine(
        plan.program,
        programs.stacked(plan),
        members=members,
        mode=mode,
        devices=jax.devices()[:devices],
        form=form,
    )
    state, metrics = bound.advance(bound.init(), 0, 10)
    assert metrics["loss"].shape == (10, members)
    for i in range(2):
        solo_state, solo_metrics = solo(method, i, 10)
        np.testing.assert_allclose(metrics["loss"][:, i], solo_metrics["loss"], rtol=1e-5)
        pairs = zip(
            jax.tree.leaves(bound.member(state, i).params),
            jax.tree.leaves(solo_state.params),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_no_collectives_when_members_fill_the_devices():
    for members, expected in ((8, False), (12, False), (9, False), (2, True)):
        plan = plan_of("devae", members)
        steps = Steps(plan.program, mesh_of(jax.devices(), members), "jit", members, 3)
        text = steps.lower(programs.stacked(plan)).as_text()
        assert bool(COLLECTIVES.search(text)) is expected


@pytest.mark.parametrize("mode", ["jit", "pmap"])
@pytest.mark.parametrize("members", [None, 2])
def test_state_that_leaves_has_the_engines_shardings(mode, members):
    """So that a checkpoint never knows how it was made."""
    plan = plan_of("devae", members or 0)
    hparams = programs.stacked(plan) if members else plan.hparams
    bound = engine(plan.program, hparams, members=members, mode=mode, devices=jax.devices()[:2])
    start = bound.init()
    state, _ = bound.advance(bound.init(), 0, 1)
    for tree in (start, state):
        for leaf, abstract in zip(
            jax.tree.leaves(tree), jax.tree.leaves(bound.abstract), strict=True
        ):
            assert (leaf.shape, leaf.dtype) == (abstract.shape, abstract.dtype)
            assert leaf.sharding.is_equivalent_to(abstract.sharding, leaf.ndim)


def test_convolutions_follow_the_devices_compiled_for():
    """Matrix products for the CPU, convolutions elsewhere, whoever compiles."""
    config = config_of("vae")
    config.model.update({"encoder": "conv", "decoder": "conv", "convolution": "auto"})
    config.data.image_size = 32
    plan = programs.plan(config)
    found = {}
    for platform in ("cpu", "tpu"):
        layout = Layout(platform=platform)
        objective = plan.program.objective(plan.hparams, layout)
        params, carry = jax.eval_shape(objective.init, jax.random.key(0))
        images = jax.ShapeDtypeStruct((2, 32, 32, 1), "float32")
        text = str(jax.make_jaxpr(objective.encode)(params, carry, images, 0))
        found[platform] = "conv_general_dilated" in text
    assert found == {"cpu": False, "tpu": True}


def test_leftover_members_are_a_round_of_their_own():
    meshes = {m: mesh_of(jax.devices(), m).shape for m in (3, 8, 9, 16)}
    assert {m: tuple(shape.values()) for m, shape in meshes.items()} == {
        3: (3, 2),
        8: (8, 1),
        9: (3, 1),
        16: (8, 1),
    }
    # More members than devices, which none but one divides: they do not split batches instead.
    assert tuple(mesh_of(jax.devices(), 11).shape.values()) == (1, 1)
    assert tuple(mesh_of(jax.devices()).shape.values()) == (1, 8)
    assert tuple(mesh_of(jax.devices(), 3, "pmap").shape.values()) == (1, 8)


@pytest.mark.parametrize(
    "members, parts, message",
    [
        (0, 1, "batch_size=6 on 4 devices, expected a multiple of 4; fix batch_size or parallel"),
        (0, 2, "batch_size=6 on 4 devices in 2 parts, expected a multiple of 8; fix batch_size"),
        (1, 1, "batch_size=6 on 4 devices for 1 members, expected a multiple of 4; fix"),
    ],
)
def test_a_batch_that_the_devices_do_not_divide(members, parts, message):
    config = config_of("vae")
    config.batch_size, config.micro_batches = 6, parts
    plan = programs.plan(config, [{"seed": i} for i in range(members)])
    hparams = programs.stacked(plan) if members else plan.hparams
    with pytest.raises(ValueError, match=f"got {message}"):
        engine(
            plan.program,
            hparams,
            members=members or None,
            devices=jax.devices()[:4],
            form=ACCELERATOR,
        )


def test_a_part_of_keys_is_a_key():
    keys = jax.random.split(jax.random.key(0), 3)
    assert part(keys, 1).dtype == keys.dtype
