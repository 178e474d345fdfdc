"""Populations: each member equals its solo run, and members never communicate."""

import functools
import json
import re

import jax
import numpy as np
import pytest

from devae_jax import build, run, sweep, workdir
from devae_jax.train import loop, parallel, population
from tests.laws.registry import config_of
from tests.train.test_loop import small

METHODS = ("devae", "factor_vae", "dynamic_vae")
COLLECTIVES = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")


def members_of(config, count):
    return [
        build.hyperparameters(
            run.of_member(config, {"seed": i, "optimizer.learning_rate": 1e-3 * (i + 1)})
        )
        for i in range(count)
    ]


@functools.cache
def solo(method, index, steps):
    config = config_of(method)
    plan = build.plan(config)
    engine = parallel.engine(
        plan.program, members_of(config, index + 1)[index], devices=jax.devices()[:1]
    )
    return engine.advance(engine.init(), 0, steps)


SETTINGS = [(False, 2, 1), (True, 2, 4)]  # in turn; in one program, each batch split in two


@pytest.mark.parametrize(
    "method, fuse, members, devices",
    [(method, *setting) for method in METHODS for setting in SETTINGS] + [("devae", True, 4, 2)],
)
def test_members_equal_solo_runs(method, fuse, members, devices):
    config = config_of(method)
    plan = build.plan(config)
    engine = population.engine(
        plan.program,
        population.stack(members_of(config, members)),
        devices=jax.devices()[:devices],
        fuse=fuse,
    )
    state, metrics = engine.advance(engine.init(), 0, 50)
    assert metrics["loss"].shape == (50, members)
    for i in range(2):
        own_state, own_metrics = solo(method, i, 50)
        np.testing.assert_allclose(metrics["loss"][:, i], own_metrics["loss"], rtol=1e-5)
        pairs = zip(
            jax.tree.leaves(population.member(state, i).params),
            jax.tree.leaves(own_state.params),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_no_collectives_when_members_fill_the_devices():
    config = config_of("devae")
    plan = build.plan(config)
    for members, expected in ((8, False), (12, False), (9, False), (2, True)):
        hparams = population.stack(members_of(config, members))
        mesh = population.mesh_of(members, jax.devices())
        state = jax.eval_shape(jax.vmap(functools.partial(population.init, plan.program)), hparams)
        compiled = population.compile_steps(plan.program, mesh, 3)
        text = compiled.lower(hparams, state, plan.program.source.arrays).compile().as_text()
        assert bool(COLLECTIVES.search(text)) is expected


def test_population_on_disk(tmp_path):
    """Trains, resumes exactly, and every member can be loaded with its numbers."""
    members = [{"seed": 3}, {"seed": 4, "optimizer.learning_rate": 2e-3}]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run.train(small(), whole, members=members) == 40
    run.train(small(steps=20), parts, members=members)
    with pytest.raises(ValueError, match="got members"):
        run.train(small(), parts, members=members[:1])
    run.train(small(), parts, members=members)
    one = run.load(whole, member=1)
    assert (one.config.seed, one.config.optimizer.learning_rate) == (4, 2e-3)
    assert one.encode(np.zeros((2, 16, 16, 1))).mean.shape == (3, 2, 4)
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    alone = tmp_path / "alone"
    run.train(run.of_member(small(), members[1]), alone)
    np.testing.assert_allclose(
        run.load(alone).encode(np.zeros((1, 16, 16, 1))).mean,
        one.encode(np.zeros((1, 16, 16, 1))).mean[:, :1],
        atol=1e-5,
    )
    for member in (None, 2):
        with pytest.raises(ValueError, match="population"):
            run.load(whole, member=member)


def test_plan_separates_shapes_from_numbers():
    axes = [
        ("model.latent_dim", (2, 4)),
        ("seed", (0, 1, 2)),
        ("objective.terms.kl.betas", ((1.0, 2.0, 3.0), (1.0, 4.0, 9.0))),
    ]
    groups = sweep.plan(config_of("devae"), axes)
    assert [len(group.members) for group in groups] == [6, 6]
    assert [group.config.model.latent_dim for group in groups] == [2, 4]
    assert groups[0].members[0] == {"seed": 0, "objective.terms.kl.betas": (1.0, 2.0, 3.0)}
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        sweep.plan(config_of("devae"), [("sed", (0,))])
    with pytest.raises(ValueError, match="increasing"):
        sweep.plan(config_of("devae"), [("objective.terms.kl.betas", ((3.0, 2.0, 1.0),))])


def test_memory_decides_how_many_members_train_at_once():
    assert sweep.members_that_fit(10, 90, 1000, 64) == 9
    assert sweep.members_that_fit(10, 90, 50, 64) == 1
    group = sweep.plan(config_of("devae"), [("seed", tuple(range(5)))])[0]
    assert [len(part.members) for part in sweep.split(group, 2)] == [2, 2, 1]
    assert sweep.split(group, 5) == [group]


def test_leftover_members_are_a_round_of_their_own():
    assert [sweep.even(64, total, 8) for total in (10, 8, 5, 64)] == [8, 8, 5, 64]
    assert sweep.even(20, 64, 8) == 16
    meshes = {m: population.mesh_of(m, jax.devices()).shape for m in (3, 8, 9, 16)}
    assert {m: tuple(shape.values()) for m, shape in meshes.items()} == {
        3: (3, 2),
        8: (8, 1),
        9: (3, 1),
        16: (8, 1),
    }


def test_a_diverging_member_does_not_stop_the_others(tmp_path):
    members = [{"seed": 1}, {"seed": 1, "optimizer.learning_rate": 1e30}]
    path = tmp_path / "run"
    assert run.train(small(steps=10), path, members=members) == 10
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    good, bad = (row for row in rows if row["step"] == 10)
    assert np.isfinite(good["loss"])
    assert (bad["member"], bad["optimizer.learning_rate"], bad["loss"]) == (1, 1e30, None)
    with pytest.raises(loop.NonFiniteError):
        run.train(small(steps=10), tmp_path / "worse", members=members[1:])


def test_a_finished_sweep_is_told_from_another(tmp_path):
    config, members = small(steps=10), [{"seed": 0}, {"seed": 1}]
    assert not workdir.finished(config, tmp_path / "run", members)
    run.train(config, tmp_path / "run", members=members)
    assert workdir.finished(config, tmp_path / "run", members)
    with pytest.raises(ValueError, match="members"):
        workdir.finished(config, tmp_path / "run", members[:1])
    with pytest.raises(ValueError, match=r"optimizer\.b1"):
        workdir.finished(small(steps=10, optimizer__b1=0.5), tmp_path / "run", members)


def test_programs_have_names_of_their_own():
    """Pressures of other lengths make another program, though no static key differs."""
    config = config_of("deft")
    axes = [("objective.terms.kl.betas", ((3.0, 1.0), (3.0, 2.0, 1.0)))]
    groups = sweep.plan(config, axes)
    assert len({group.name for group in groups}) == len(groups) == 2
