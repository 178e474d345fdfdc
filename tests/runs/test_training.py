"""The loop: exact resume, modes that interchange, signals, bad numbers, damaged checkpoints."""

import json
import shutil

import jax
import numpy as np
import pytest

import devae_jax
from devae_jax.program import plan as programs
from devae_jax.runs import train as training
from devae_jax.runs.run import load
from devae_jax.runs.train import train
from devae_jax.training import loop
from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.engine import engine
from tests.laws.registry import config_of

pytestmark = pytest.mark.xdist_group("uninterrupted")  # what its tests share is made once


def small(method="devae", **changes):
    config = config_of(method)
    config.steps = 40
    config.train.log_every = 5
    config.train.checkpoint_every, config.train.eval_every = 10, 20
    config.eval.samples = 100
    config.parallel.devices = 1
    for key, value in changes.items():
        node = config
        *path, leaf = key.split("__")
        for name in path:
            node = node[name]
        node[leaf] = value
    return config


def final_state(path):
    return load(path).state


def assert_same_runs(a, b):
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()
    for x, y in zip(jax.tree.leaves(final_state(a)), jax.tree.leaves(final_state(b)), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    assert train(small(), path).step == 40
    return path


def test_resume_is_exact_and_other_modes_go_on(uninterrupted, tmp_path):
    assert train(small(steps=20), tmp_path / "a").step == 20
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert train(small(), tmp_path / "a").step == 40
    assert_same_runs(uninterrupted, tmp_path / "a")
    # The same checkpoint goes on under pmap on eight devices, to the same losses.
    other = small(parallel__mode="pmap", parallel__devices=8, batch_size=16)
    assert train(other, tmp_path / "b").step == 40
    rows = [
        [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (uninterrupted, tmp_path / "b")
    ]
    np.testing.assert_allclose(*rows, rtol=1e-5)


def test_a_cut_metrics_line_and_newer_rows_are_replaced(uninterrupted, tmp_path):
    """What a killed process leaves behind: rows past the checkpoint and half a line."""
    path = tmp_path / "run"
    train(small(steps=20), path)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "loss": 1.0}\n{"step": 30, "lo')
    train(small(), path)
    assert_same_runs(uninterrupted, path)


def test_damaged_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path, caplog):
    path = tmp_path / "run"
    train(small(steps=30), path)
    for file in (path / "checkpoints" / "30" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    assert load(path).step == 20
    assert "step 30" in caplog.text
    train(small(), path)
    assert_same_runs(uninterrupted, path)


def test_all_checkpoints_damaged(tmp_path):
    path = tmp_path / "run"
    train(small(steps=10), path)
    shutil.rmtree(path / "checkpoints" / "10" / "state")
    with pytest.raises(ValueError, match="no readable checkpoint"):
        load(path)


def test_refusals_lose_nothing(uninterrupted, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=r"finished at step 40.*--overwrite"):
        train(small(), uninterrupted)
    with pytest.raises(ValueError, match=r"optimizer.learning_rate: 0.001 -> 0.1"):
        train(small(steps=50, optimizer__learning_rate=0.1), uninterrupted)
    assert before == {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*") if p.is_file()}
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"thesis\.tex"):
            train(small(), foreign, overwrite=overwrite)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="expected a folder"):
        train(small(), file)


def test_overwrite_starts_again(tmp_path):
    path = tmp_path / "run"
    train(small(steps=10), path)
    (path / "notes.txt").write_text("mine")
    train(small(steps=10, seed=1), path, overwrite=True)
    assert load(path).config.seed == 1
    assert (path / "notes.txt").read_text() == "mine"


def test_changed_data_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run"
    train(small(steps=10), path)
    meta = training.meta
    monkeypatch.setattr(training, "meta", lambda plan: meta(plan) | {"data": {"name": "other"}})
    with pytest.raises(ValueError, match="got data"):
        train(small(), path)


def test_evaluating_nothing(tmp_path):
    with pytest.raises(ValueError, match="without checkpoints"):
        load(tmp_path)
    Checkpoints(tmp_path / "checkpoints").close()
    with pytest.raises(ValueError, match="no checkpoint"):
        load(tmp_path)


def test_scores_during_training_are_those_of_the_config(tmp_path):
    config = small(steps=10, eval__metrics=("cheap", "irs", "sap"))
    train(config, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    num_layers, latent_dim = config.model.num_layers, config.model.latent_dim
    for name in ("mig", "irs", "sap", "diffusion"):
        assert np.shape(row[f"eval/{name}"]) == (num_layers,)
    assert np.shape(row["eval/mi"])[:2] == (num_layers, latent_dim)
    with pytest.raises(ValueError, match="did you mean 'irs'"):
        train(small(eval__metrics=("irr",)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_non_finite_loss_names_step_and_term(tmp_path):
    path = tmp_path / "run"
    train(small(steps=10), path)
    huge = small(optimizer__learning_rate=1e30)
    with pytest.raises(loop.NonFiniteError, match=r"step 1 in loss/kl, loss/reconstruction"):
        train(huge, tmp_path / "huge")
    assert load(path).step == 10


def test_no_device_to_host_transfer_between_log_points(monkeypatch):
    """Metrics are read once a window. On CPU the transfer guard would see nothing: count."""
    plan = programs.plan(small())
    bound = engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    state, _ = bound.advance(bound.init(), 0, 1)  # compiles
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
    _, metrics = bound.advance(state, 1, 5)
    assert metrics["loss"].shape == (5,)
    assert implicit == [()]
    assert explicit == ["begin", "end"]


def test_overwrite_deletes_nothing_for_a_config_that_cannot_run(tmp_path):
    path = tmp_path / "run"
    train(small(steps=10), path)
    for changes in ({"parallel__devices": 77}, {"parallel__mode": "pmapp"}, {"batch_size": 10**9}):
        with pytest.raises(ValueError, match="expected"):
            train(small(steps=10, **changes), path, overwrite=True)
        assert load(path).step == 10


def test_a_dict_says_what_differs_from_the_base(tmp_path):
    """The whole way from Python: train, look at the run, load it again."""
    config = small("vae").to_dict()
    trained = devae_jax.train(config, tmp_path / "run")
    assert (trained.step, trained.folder.path, trained.member) == (40, tmp_path / "run", None)
    images = np.zeros((2, 16, 16, 1))
    again = devae_jax.load(tmp_path / "run")
    np.testing.assert_array_equal(trained.encode(images).mean, again.encode(images).mean)
    assert again.decode(again.encode(images).mean[0]).shape == images.shape
    with pytest.raises(ValueError, match="did you mean 'pressure'"):
        devae_jax.train({"objective": {"terms": {"kl": {"kind": "presure"}}}}, tmp_path / "b")


def test_images_without_factors(tmp_path):
    """Trained, scored during training, resumed and drawn; what needs factors says so."""
    pixels = np.random.RandomState(0).randint(0, 255, (40, 16, 16), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    changes = {"data__name": "arrays", "data__path": str(tmp_path / "images.npy")}
    train(small(steps=20, **changes), tmp_path / "run")
    trained = train(small(**changes), tmp_path / "run")
    rows = trained.folder.metrics()
    assert {"eval/kl", "eval/reconstruction_sampled"} <= rows[-1].keys()
    assert "eval/mig" not in rows[-1]
    assert (trained.folder.path / "config.json").exists()
    with pytest.raises(ValueError, match="factors"):
        train(small(eval__metrics=("mig",), **changes), tmp_path / "other")


def test_a_folder_of_images(tmp_path):
    """Decoded on the host, the same batches before and after a resume."""
    from PIL import Image

    (tmp_path / "images" / "below").mkdir(parents=True)
    rng = np.random.RandomState(0)
    for i in range(20):
        place = tmp_path / "images" / ("below" if i % 2 else "")
        Image.fromarray(rng.randint(0, 255, (20, 18, 3), np.uint8)).save(place / f"{i}.png")
    changes = {"data__name": "folder", "data__path": str(tmp_path / "images")}
    config = small(steps=20, train__eval_every=0, **changes)
    config.data.source = {"kind": "stream", "seed": 0, "threads": 2}
    half = small(steps=10, train__eval_every=0, **changes)
    half.data.source = config.data.source
    whole = train(config, tmp_path / "whole")
    train(half, tmp_path / "parts")
    parts = train(config, tmp_path / "parts")
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")
    assert whole.step == parts.step == 20
    two = small(steps=20, train__eval_every=0, parallel__devices=2, **changes)
    two.data.source = config.data.source
    split = train(two, tmp_path / "split")
    losses = [[row["loss"] for row in run.folder.metrics()] for run in (whole, split)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    """Same shapes, same data: its metadata says that it is another run."""
    path, other = tmp_path / "run", tmp_path / "other"
    train(small(steps=10), path)
    train(small(steps=20, seed=1), other)
    shutil.copytree(other / "checkpoints" / "20", path / "checkpoints" / "20")
    for act in (lambda: train(small(), path), lambda: load(path)):
        with pytest.raises(ValueError, match=r"another run.*seed: 1 -> 0"):
            act()
    shutil.rmtree(path / "checkpoints" / "20")
    assert load(path).step == 10
