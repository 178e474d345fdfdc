"""Populations and sweeps: on disk, as programs, with members that diverge."""

import json
import os

import numpy as np
import pytest
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from devae_jax.program import keys, sweep
from devae_jax.runs.folder import Folder
from devae_jax.runs.run import load, load_members
from devae_jax.runs.train import train, train_members
from devae_jax.training import loop
from devae_jax.viz.save import save
from tests.laws.registry import config_of
from tests.reliability.test_disks import events_of
from tests.runs.test_training import small


def test_population_on_disk(tmp_path):
    """Trains, resumes exactly, and every member can be loaded with its numbers."""
    betas = {"objective.terms.kl.betas": (1.0, 2.0, 5.0)}
    members = [{"seed": 3}, {"seed": 4, "optimizer.learning_rate": 2e-3} | betas]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs = train_members(small(), members, whole)
    assert [(run.step, run.member, run.config.seed) for run in runs] == [(40, 0, 3), (40, 1, 4)]
    train_members(small(steps=20), members, parts)
    with pytest.raises(ValueError, match="got members"):
        train_members(small(), members[:1], parts)
    train_members(small(), members, parts)
    one = load(whole, member=1)
    assert (one.config.seed, one.config.optimizer.learning_rate) == (4, 2e-3)
    assert one.layer_labels == ["β=1", "β=2", "β=5"] != load(whole, member=0).layer_labels
    images = np.zeros((2, 16, 16, 1))
    assert one.encode(images).mean.shape == (3, 2, 4)
    np.testing.assert_array_equal(one.encode(images).mean, runs[1].encode(images).mean)
    np.testing.assert_array_equal(
        one.encode(images).mean, load_members(whole)[1].encode(images).mean
    )
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    alone = train(keys.laid_over(small(), members[1]), tmp_path / "alone")
    np.testing.assert_allclose(alone.encode(images).mean, one.encode(images).mean, atol=1e-5)
    for member in (None, 2):
        with pytest.raises(ValueError, match="population"):
            load(whole, member=member)


def test_members_are_compared_in_tensorboard(tmp_path):
    """Each has a folder with its own numbers and plain tags, also where a run went on."""
    members, path = [{"seed": 3}, {"seed": 4, "optimizer.learning_rate": 2e-3}], tmp_path / "run"
    for steps in (10, 20):
        train_members(small(steps=steps, train__tensorboard=True), members, path)
    picture = save(tmp_path / "samples.png", np.zeros((4, 6, 3), np.uint8))
    Folder(path).show(20, {"samples": picture}, member=1)
    base, told = small().optimizer.learning_rate, []
    for member in range(2):
        events = events_of(path / "tensorboard" / f"member_{member}")
        assert [event.step for event in events if event.session_log.status] == [1, 11]
        values = [(event.step, value) for event in events for value in event.summary.value]
        losses = [(step, value.simple_value) for step, value in values if value.tag == "loss"]
        rows = Folder(path).metrics(member)
        assert losses == [(row["step"], np.float32(row["loss"])) for row in rows]
        assert {"eval/mig/0", "steps_per_second"} <= {value.tag for _, value in values}
        pictures = [(step, v.tag) for step, v in values if v.HasField("image")]
        assert pictures == [(20, "figures/samples")] * member
        content = [v.metadata.plugin_data.content for _, v in values if "session_start" in v.tag]
        told += [HParamsPluginData.FromString(item).session_start_info.hparams for item in content]
    shown = [(t["seed"].number_value, t["optimizer.learning_rate"].number_value) for t in told]
    assert shown == [(3, base), (3, base), (4, 2e-3), (4, 2e-3)]
    assert sorted(os.listdir(path / "tensorboard")) == ["member_0", "member_1"]


def test_members_differ_in_numbers_alone(tmp_path):
    with pytest.raises(ValueError, match=r"differs in 'model.latent_dim'"):
        train_members(small(), [{"model.latent_dim": 3}], tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
    for axes, told in (([], "one or more axes"), ([("seed", (0, 0))], "twice"), (3, "sweep=3")):
        with pytest.raises(ValueError, match=told):
            sweep.plan(config_of("devae"), axes)
    with pytest.raises(ValueError, match="increasing"):
        sweep.plan(config_of("devae"), [("objective.terms.kl.betas", ((3.0, 2.0, 1.0),))])


def test_an_axis_that_shares_its_number_changes_all_that_share_it():
    (group,) = sweep.plan(config_of("deft"), [("model.stage_steps", (10.0, 20.0))])
    assert group.members[0] == {
        "model.stage_steps": 10.0,
        "objective.terms.kl.stage_steps": 10.0,
    }


def test_memory_decides_how_many_members_train_at_once():
    assert sweep.members_that_fit(10, 90, 1000, 64) == 9
    assert sweep.members_that_fit(10, 90, 50, 64) == 1
    group = sweep.plan(config_of("devae"), [("seed", tuple(range(5)))])[0]
    assert [len(part.members) for part in sweep.split(group, 2)] == [2, 2, 1]
    assert sweep.split(group, 5) == [group]
    assert [sweep.even(64, total, 8) for total in (10, 8, 5, 64)] == [8, 8, 5, 64]
    assert sweep.even(20, 64, 8) == 16


def test_a_diverging_member_does_not_stop_the_others(tmp_path):
    members = [{"seed": 1}, {"seed": 1, "optimizer.learning_rate": 1e30}]
    path = tmp_path / "run"
    assert train_members(small(steps=10), members, path)[0].step == 10
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    good, bad = (row for row in rows if row["step"] == 10)
    assert np.isfinite(good["loss"])
    assert (bad["member"], bad["optimizer.learning_rate"], bad["loss"]) == (1, 1e30, None)
    with pytest.raises(loop.NonFiniteError):
        train_members(small(steps=10, train__tensorboard=True), members[1:], tmp_path / "worse")
    assert os.listdir(tmp_path / "worse" / "tensorboard") == ["member_0"]  # also if it is alone


def test_a_finished_sweep_is_told_from_another(tmp_path):
    config, members, folder = small(steps=10), [{"seed": 0}, {"seed": 1}], Folder(tmp_path / "run")
    assert not folder.finished(config, members)
    train_members(config, members, folder.path)
    assert folder.finished(config, members)
    with pytest.raises(ValueError, match="members"):
        folder.finished(config, members[:1])
    with pytest.raises(ValueError, match=r"optimizer\.b1"):
        folder.finished(small(steps=10, optimizer__b1=0.5), members)


def test_programs_have_names_of_their_own():
    """Pressures of other lengths make another program, though no static key differs."""
    axes = [("objective.terms.kl.betas", ((3.0, 1.0), (3.0, 2.0, 1.0)))]
    groups = sweep.plan(config_of("deft"), axes)
    assert len({group.name for group in groups}) == len(groups) == 2
