"""The loop: exact resume, modes that interchange, signals, bad numbers, damaged checkpoints."""

import json
import shutil

import jax
import numpy as np
import pytest

from devae_jax import build, run
from devae_jax.train import loop, parallel
from devae_jax.train.checkpoint import Checkpoints
from tests.laws.registry import config_of


def small(method="devae", **changes):
    config = config_of(method)
    config.steps = 40
    config.train.log_every = 5
    config.train.checkpoint_every = config.train.eval_every = 10
    config.eval.samples = 200
    config.parallel.devices = 1
    for key, value in changes.items():
        node = config
        *path, leaf = key.split("__")
        for name in path:
            node = node[name]
        node[leaf] = value
    return config


def final_state(path):
    return run.load(path).state


def assert_same_runs(a, b):
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()
    for x, y in zip(jax.tree.leaves(final_state(a)), jax.tree.leaves(final_state(b)), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    assert run.train(small(), path) == 40
    return path


def test_resume_is_exact_and_other_modes_go_on(uninterrupted, tmp_path):
    assert run.train(small(steps=20), tmp_path / "a") == 20
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert run.train(small(), tmp_path / "a") == 40
    assert_same_runs(uninterrupted, tmp_path / "a")
    # The same checkpoint goes on under pmap on eight devices, to the same losses.
    other = small(parallel__mode="pmap", parallel__devices=8, batch_size=16)
    assert run.train(other, tmp_path / "b") == 40
    rows = [
        [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (uninterrupted, tmp_path / "b")
    ]
    np.testing.assert_allclose(*rows, rtol=1e-5)


def test_a_cut_metrics_line_and_newer_rows_are_replaced(uninterrupted, tmp_path):
    """What a killed process leaves behind: rows past the checkpoint and half a line."""
    path = tmp_path / "run"
    run.train(small(steps=20), path)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "loss": 1.0}\n{"step": 30, "lo')
    run.train(small(), path)
    assert_same_runs(uninterrupted, path)


def test_damaged_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path, caplog):
    path = tmp_path / "run"
    run.train(small(steps=30), path)
    for file in (path / "checkpoints" / "30" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    assert run.load(path).step == 20
    assert "step 30" in caplog.text
    run.train(small(), path)
    assert_same_runs(uninterrupted, path)


def test_all_checkpoints_damaged(tmp_path):
    path = tmp_path / "run"
    run.train(small(steps=10), path)
    shutil.rmtree(path / "checkpoints" / "10" / "state")
    with pytest.raises(ValueError, match="no readable checkpoint"):
        run.load(path)


def test_refusals_lose_nothing(uninterrupted, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=r"finished at step 40.*--overwrite"):
        run.train(small(), uninterrupted)
    with pytest.raises(ValueError, match=r"optimizer.learning_rate: 0.001 -> 0.1"):
        run.train(small(steps=50, optimizer__learning_rate=0.1), uninterrupted)
    assert before == {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*") if p.is_file()}
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"thesis\.tex"):
            run.train(small(), foreign, overwrite=overwrite)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="expected a folder"):
        run.train(small(), file)


def test_overwrite_starts_again(tmp_path):
    path = tmp_path / "run"
    run.train(small(steps=10), path)
    (path / "notes.txt").write_text("mine")
    run.train(small(steps=10, seed=1), path, overwrite=True)
    assert run.load(path).config.seed == 1
    assert (path / "notes.txt").read_text() == "mine"


def test_changed_data_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run"
    run.train(small(steps=10), path)
    meta = run.meta
    monkeypatch.setattr(run, "meta", lambda *args: meta(*args) | {"data": {"name": "other"}})
    with pytest.raises(ValueError, match="got data"):
        run.train(small(), path)


def test_evaluating_nothing(tmp_path):
    with pytest.raises(ValueError, match="without checkpoints"):
        run.load(tmp_path)
    Checkpoints(tmp_path / "checkpoints").close()
    with pytest.raises(ValueError, match="no checkpoint"):
        run.load(tmp_path)


def test_scores_during_training_are_those_of_the_config(tmp_path):
    config = small(steps=10, eval__metrics=("cheap", "irs", "sap"))
    run.train(config, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    num_layers, latent_dim = config.model.num_layers, config.model.latent_dim
    for name in ("mig", "irs", "sap", "diffusion"):
        assert np.shape(row[f"eval/{name}"]) == (num_layers,)
    assert np.shape(row["eval/mi"])[:2] == (num_layers, latent_dim)
    with pytest.raises(ValueError, match="did you mean 'irs'"):
        run.train(small(eval__metrics=("irr",)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_non_finite_loss_names_step_and_term(tmp_path):
    path = tmp_path / "run"
    run.train(small(steps=10), path)
    huge = small(optimizer__learning_rate=1e30)
    with pytest.raises(loop.NonFiniteError, match=r"step 1 in loss/kl, loss/reconstruction"):
        run.train(huge, tmp_path / "huge")
    assert run.load(path).step == 10


def test_no_device_to_host_transfer_between_log_points(monkeypatch):
    """Metrics are read once a window. On CPU the transfer guard would see nothing: count."""
    plan = build.plan(small())
    engine = parallel.engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    state, _ = engine.advance(engine.init(), 0, 1)  # compiles
    array, device_get = type(state.step), jax.device_get
    read, explicit, implicit = array._value.fget, [], []

    def counted_read(x):
        (implicit if explicit.count("begin") == explicit.count("end") else []).append(x.shape)
        return read(x)

    def counted_get(tree):
        explicit.append("begin")
        values = device_get(tree)
        explicit.append("end")
        return values

    monkeypatch.setattr(array, "_value", property(counted_read))
    monkeypatch.setattr(jax, "device_get", counted_get)
    float(state.step)
    assert implicit == [()]  # it counts
    _, metrics = engine.advance(state, 1, 5)
    assert metrics["loss"].shape == (5,)
    assert implicit == [()]
    assert explicit == ["begin", "end"]


def test_overwrite_deletes_nothing_for_a_config_that_cannot_run(tmp_path):
    path = tmp_path / "run"
    run.train(small(steps=10), path)
    for changes in ({"parallel__devices": 77}, {"parallel__mode": "pmapp"}, {"batch_size": 10**9}):
        with pytest.raises(ValueError, match="expected"):
            run.train(small(steps=10, **changes), path, overwrite=True)
        assert run.load(path).step == 10
