"""Which trained runs agree, without labels: the folders, the table, what is left out."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from devae_jax.runs.run import load
from devae_jax.runs.train import train_members
from devae_jax.studies import chosen, selection
from tests.launch.commands import call
from tests.runs.test_training import small


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three seeds of DeVAE, and a copy of them whose training goes on."""
    path = tmp_path_factory.mktemp("runs")
    train_members(small(steps=10), [{"seed": seed} for seed in (3, 4, 5)], path / "three")
    shutil.copytree(path / "three", path / "goes_on")
    (path / "goes_on" / "checkpoints" / "10").rename(path / "goes_on" / "checkpoints" / "aside")
    return path


def test_runs_of_one_setting_are_ranked(place):
    folder = place / "three"
    ranked, missing = chosen.agreements([folder], {}, images=50, layer=1)
    assert {(a.data, a.label, a.run, a.seed) for a in ranked} == {
        ("toy", "devae", f"{folder}:{i}", i + 3) for i in range(3)
    }
    assert [a.udr for a in ranked] == sorted((a.udr for a in ranked), reverse=True)
    assert not missing
    runs = [load(folder, member=i) for i in range(3)]
    numbers = np.sort(np.random.RandomState(0).choice(runs[0].dataset.size, 50, replace=False))
    wanted = selection.by_agreement(runs, runs[0].images(numbers), layer=1)
    np.testing.assert_allclose(sorted(wanted), sorted(a.udr for a in ranked), rtol=1e-6)
    labels = {(str(folder), 0): ("narrow", 0), (str(folder), 2): ("narrow", 1)}
    labelled, missing = chosen.agreements([folder], labels, images=50)
    assert {(a.label, a.seed) for a in labelled} == {("narrow", 0), ("narrow", 1)}
    assert missing == [f"{folder}:1 left out: no other run of 'devae' on its data"]


def test_settings_of_a_sweep_are_ranked_apart(tmp_path):
    """And called after what they differ in, where tables do not call them."""
    numbers = [{"seed": s, "objective.scale": scale} for scale in (0.5, 0.25) for s in (0, 1)]
    train_members(small(steps=10), numbers, tmp_path / "scales")
    train_members(small(steps=10, model__latent_dim=3), numbers[:2], tmp_path / "narrow")
    folders = [tmp_path / "scales", tmp_path / "narrow"]
    ranked, missing = chosen.agreements(folders, {}, images=50)
    named = [f"devae, latent_dim={dim}, scale={s}" for dim, s in ((4, 0.5), (4, 0.25), (3, 0.5))]
    assert {(a.label, a.seed) for a in ranked} == {
        (name, seed) for name in named for seed in (0, 1)
    }
    assert not missing
    runs = [load(tmp_path / "scales", member=i) for i in (2, 3)]
    seen = np.sort(np.random.RandomState(0).choice(runs[0].dataset.size, 50, replace=False))
    wanted = selection.by_agreement(runs, runs[0].images(seen))
    udr = {a.seed: a.udr for a in ranked if a.label == named[1]}
    np.testing.assert_allclose([udr[0], udr[1]], wanted, rtol=1e-6)
    labels = {(str(tmp_path / "scales"), i): ("mine", numbers[i]["seed"]) for i in range(4)}
    ranked, _ = chosen.agreements(folders[:1], labels, images=50)
    assert {a.label for a in ranked} == {"mine, scale=0.5", "mine, scale=0.25"}


def test_a_run_that_diverged_is_left_out(place, monkeypatch):
    whole = chosen.load_members

    def one_diverged(folder, **options):
        runs = whole(folder, **options)
        params = jax.tree.map(lambda leaf: leaf * np.nan, runs[1].state.params)
        runs[1].state = dataclasses.replace(runs[1].state, params=params)
        return runs

    monkeypatch.setattr(chosen, "load_members", one_diverged)
    ranked, missing = chosen.agreements([place / "three"], {}, images=50)
    assert sorted(a.seed for a in ranked) == [3, 5]
    assert missing == [f"{place / 'three'}:1 left out: its codes are no finite numbers"]


def test_the_command_prints_them(place):
    printed = call("results", "agreement", f"--runs={place}/*", "--images=50")
    assert printed.count("| toy | devae |") == 3
    assert "goes_on left out: got no checkpoint" in printed


def test_code_of_the_users_own_runs_when_trusted_alone(place, monkeypatch):
    whole, trusted = chosen.load_members, []

    def load_members(folder, trust):
        trusted.append(trust)
        return whole(folder)

    monkeypatch.setattr(chosen, "load_members", load_members)
    for flags in ([], ["--trust"]):
        call("results", "agreement", f"--runs={place}/three", "--images=20", *flags)
    assert trusted == [False, True]


def test_bad_input(place, tmp_path):
    for flags, said in (
        ([], "got no --runs"),
        ([f"--runs={tmp_path}/*"], "got no two finished runs"),
        ([f"--runs={place}/three", "--images=1"], "got images=1, expected 2 or more"),
        ([f"--runs={place}/three", "--layer=3"], "got layer=3, expected 0 to 2"),
    ):
        assert said in call("results", "agreement", *flags, code=2)
