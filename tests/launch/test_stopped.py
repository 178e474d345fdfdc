"""A signal outside the training loop ends a command with code 75, and the same command goes on."""

import json
import os
import signal

import pytest

from devae_jax.launch import common
from devae_jax.training import loop
from devae_jax.training.writer import Writer
from tests.launch.commands import QUICK, call, train_flags

SWEEP = ["--config=sweeps/toy", "--config.steps=10", *QUICK]


@pytest.fixture(params=common.STOPS[:2], ids=lambda number: signal.Signals(number).name)
def told(request):
    """What tells this process to stop; a command that leaves the signal to others fails."""

    def left(*_):
        raise AssertionError("the command did not take the signal")

    old = {number: signal.signal(number, left) for number in common.STOPS}
    yield lambda *_, **__: os.kill(os.getpid(), request.param)
    assert all(signal.getsignal(number) is left for number in common.STOPS)
    for number, handler in old.items():
        signal.signal(number, handler)


def said(text):
    """The last line of a command that a signal ended in order."""
    assert "Traceback" not in text
    assert text.splitlines()[-1].startswith("stopped by SIG"), text


def test_the_signals_are_those_of_the_loop():
    assert common.STOPS == loop.STOPS


def test_a_run_that_is_told_while_it_starts(tmp_path, monkeypatch, told):
    monkeypatch.setattr("devae_jax.runs.train.bind", told)
    said(call("train", *train_flags(tmp_path / "run", 10), code=75))
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_told_in_its_last_window_leaves_its_results_to_the_next(
    tmp_path, monkeypatch, told
):
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "write", told)
        said(call("train", *train_flags(tmp_path / "run", 10), code=75))
    assert (tmp_path / "run" / "checkpoints" / "10").is_dir()
    assert not (tmp_path / "run" / "scores.json").exists()


def test_a_run_that_was_told_goes_on_to_its_results(tmp_path, monkeypatch, told):
    flags = train_flags(tmp_path / "run", 10)
    with monkeypatch.context() as patched:
        patched.setattr("devae_jax.runs.results.evaluate", told)
        said(call("train", *flags, code=75))
    assert not (tmp_path / "run" / "scores.json").exists()
    assert "report.html" in call("train", *flags)


def test_a_sweep_that_is_told_while_it_scores(tmp_path, monkeypatch, told):
    monkeypatch.setattr("devae_jax.runs.results.evaluate", told)
    said(call("sweep", *SWEEP, f"--workdir={tmp_path}", code=75))
    record = json.loads((tmp_path / "programs" / "0000.json").read_text())
    assert (record["state"], record["error"]) == ("stopped", "")
    assert not list((tmp_path / "programs").glob("*.lock"))


def test_a_study_that_is_told_while_it_starts(tmp_path, monkeypatch, told):
    monkeypatch.setattr("devae_jax.studies.make.opened", told)
    said(call("reproduce", "table2", "--preset=smoke", f"--workdir={tmp_path}", code=75))
