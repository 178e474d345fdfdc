"""The entry points as a user runs them: files, names of configs, signals, exit codes."""

import errno
import json
import os
import shutil
import signal
import time

import pytest

from devae_jax.objectives import METHODS
from tests.launch.commands import CONFIGS, call, process, start, train_flags


def wait_for(path, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that never stopped, scored and drawn."""
    path = tmp_path_factory.mktemp("launch") / "whole"
    text = call("train", *train_flags(path, 400), "--config.train.progress=True")
    assert "mig" in text and "report.html" in text
    assert "float32 products are made in float32 (cpu)" in text
    return path


@pytest.mark.xdist_group("launch")
def test_killed_stopped_and_restarted_run_equals_an_uninterrupted_one(whole, tmp_path):
    path = tmp_path / "run"
    endless = train_flags(path, 1_000_000)

    def interrupt(number, step):
        running = start("train", *endless, cwd=tmp_path)
        wait_for(path / "checkpoints" / str(step), running)
        running.send_signal(number)
        running.communicate(timeout=60)
        return running.returncode

    def reached():
        return max(int(p.name) for p in (path / "checkpoints").iterdir() if p.name.isdigit())

    assert interrupt(signal.SIGKILL, 40) == -9
    killed_at = reached()
    assert interrupt(signal.SIGTERM, killed_at + 40) == 75
    stopped_at = reached()
    assert killed_at < stopped_at < 1_000_000
    # Going on to 400 or, on a fast machine, as far as it came.
    if stopped_at < 400:
        call("train", *train_flags(path, 400), "--noresults")
    rows = (path / "metrics.jsonl").read_text().splitlines()[:40]
    assert rows == (whole / "metrics.jsonl").read_text().splitlines()


@pytest.mark.xdist_group("launch")
def test_finished_run_is_kept_and_a_changed_one_is_refused(whole):
    before = (whole / "metrics.jsonl").read_text()
    assert "--overwrite" in call("train", *train_flags(whole, 400), code=2)
    changed = call("train", *train_flags(whole, 500), "--config.model.latent_dim=5", code=2)
    assert "model.latent_dim: 4 -> 5" in changed
    assert (whole / "metrics.jsonl").read_text() == before


@pytest.mark.xdist_group("launch")
def test_evaluate_visualize_and_report(whole):
    table = call("evaluate", f"--workdir={whole}", "--metrics=mig,kl", "--layers=all")
    assert "mig" in table
    rows = json.loads((whole / "scores.json").read_text())
    assert {row["layer"] for row in rows} == {0, 1, 2}
    keys = {"run", "member", "step", "layer", "representation", "protocol", "metric", "value"}
    assert all(keys <= row.keys() for row in rows)
    migs = [row["value"] for row in rows if row["metric"] == "mig"]
    assert max(migs) - min(migs) < 1e-6  # the layers differ by positive scalings of their axes
    call("visualize", f"--workdir={whole}")
    names = {path.name for path in (whole / "figures").iterdir()}
    assert {"traversals_layer0.gif", "reconstructions.png", "report.html"} <= names
    assert "| devae" in call("report", f"--runs={whole.parent}/*")


@pytest.mark.xdist_group("launch")
def test_finished_run_gets_the_results_that_it_lacks(whole, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    (path / "scores.json").unlink()
    assert "expected one to go on" in call("train", *train_flags(path, 400), "--noresults", code=2)
    assert "report.html" in call("train", *train_flags(path, 400))
    assert json.loads((path / "scores.json").read_text())


def test_a_full_disk_has_an_exit_code_of_its_own(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    text = call("train", *train_flags(tmp_path / "run", 10), code=4)
    assert "No space left on device writing" in text.splitlines()[-1] and "Traceback" not in text


def test_list_prints_every_method():
    text = call("train", "--list")
    assert all(name in text and method.config in text for name, method in METHODS.items())


def test_configs_are_found_by_name_wherever_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("sweeps/toy", "configs/sweeps/toy.py", CONFIGS / "sweeps" / "toy.py"):
        text = call("sweep", f"--config={name}", f"--workdir={tmp_path}", "--plan")
        assert "program 2/2: latent_dim=4, 2 members" in text
    assert "2 members" in call("sweep", "--config", "sweeps/toy", "--workdir=a", "--plan")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config.objective.terms.kl.betas=(1.0,40.0,10.0)"], "decremental"),
        (["--config.objective.terms.kl.betas=(1.0,10.0)"], "num_layers=3"),
        (["--config.objective.terms.kl.betas=(0.0,1.0,2.0)"], "expected > 0"),
        (["--config.model.latent_dim=0"], "latent_dim"),
        (["--config.batch_size=100000"], "batch_size"),
        (["--config.data.name=dsprite_regen"], "did you mean"),
        (["--config.model.encoder=convv"], "did you mean"),
        (["--config.parallel.mode=pmapp"], "parallel.mode"),
        (["--config.parallel.devices=9"], "parallel.devices"),
        (["surplus"], "expected only --flags"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, flags, message):
    text = call("train", *train_flags(tmp_path / "run", 10), *flags, code=2)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.optimizer.learning_rte=1", "learning_rate"),
        (f"--config={CONFIGS / 'bta_vae.py'}", "did you mean"),
        ("--config=bta_vae", "did you mean 'beta_vae'"),
        ("--config=sweeps/quikstart", "did you mean 'sweeps/quickstart'"),
        ("--config=devae:smapled", "did you mean 'sampled'"),
        ("--config.steps=many", "invalid literal"),
        ("--overwite", "overwrite"),
    ],
)
def test_bad_flags_end_in_one_line(tmp_path, flag, message):
    text = call("train", *train_flags(tmp_path, 10), flag, code=2)
    assert message in text
    assert len(text.splitlines()) == 1


def test_a_process_of_its_own_ends_in_one_line_too(tmp_path):
    flags = [*train_flags(tmp_path / "run", 10), "--config.model.latent_dim=0"]
    text = process("train", *flags, code=2, cwd=tmp_path)
    assert text.startswith("error: got model.latent_dim=0") and len(text.splitlines()) == 1


def test_sweep_trains_scores_and_goes_on(tmp_path):
    flags = ["--config=sweeps/toy", f"--workdir={tmp_path}", "--config.steps=50"]
    flags += ["--config.train.eval_every=0", "--config.parallel.devices=1"]
    call("sweep", *flags)
    for folder in ("latent_dim=2", "latent_dim=4"):
        rows = json.loads((tmp_path / folder / "scores.json").read_text())
        assert {(row["member"], row["seed"]) for row in rows} == {(0, 0), (1, 1)}
    trained = (tmp_path / "latent_dim=4" / "metrics.jsonl").stat().st_mtime_ns
    (tmp_path / "latent_dim=2" / "scores.json").unlink()
    call("sweep", *flags)  # finished programs are not run again, what is unscored is scored
    assert (tmp_path / "latent_dim=4" / "metrics.jsonl").stat().st_mtime_ns == trained
    assert (tmp_path / "latent_dim=2" / "scores.json").exists()
