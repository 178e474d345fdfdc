"""Jobs of submitit's local executor: a sweep drained by tasks, preempted and queued again."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.launch.commands import call, process, train_flags


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--run=evaluate --workdir=w"], "expected 'train --…' or 'sweep --…'"),
        (["--run=train --config=devae:toy"], "expected one --workdir=… in it"),
        (["--run=train --workdir=w", "--cluster=slrum"], "did you mean 'slurm'"),
        (["--run=train --workdir=w", "--parameters=gpus"], "--parameters=gpus, expected name=va"),
        (["--run=train --workdir=w"], "expected --parameters of submitit on a machine that can"),
        (["--run=sweep --workdir=w --config=sweeps/tuy"], "did you mean 'sweeps/toy'"),
        (["--run=train --workdir=gs://bucket/run"], "expected a folder of a file system"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, flags, message):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    text = call("slurm", *flags, code=2)
    assert message in text and len(text.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_without_submitit_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'devae_jax[slurm]'" in call("slurm", "--run=train --workdir=w", code=2)


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.parent.name))
    return found


def newest(path) -> int:
    found = [item.name for item in (path / "checkpoints").glob("*") if item.name.isdigit()]
    return max(map(int, found), default=0)


def until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_a_preempted_run_saves_and_goes_on_in_the_same_job(tmp_path):
    pytest.importorskip("submitit")
    path = tmp_path / "run"
    run = " ".join(["train", *train_flags(path, 1_000_000)])
    said = process(
        "slurm", f"--run={run}", "--cluster=local", "--parameters=timeout_min=30", cwd=tmp_path
    )
    job = int(said.split()[1].rstrip(":"))
    until(lambda: newest(path) >= 20)
    (task,) = children(job)
    os.kill(task, signal.SIGUSR2)
    until(lambda: children(job) not in ([task], []))
    saved = newest(path)
    until(lambda: newest(path) > saved)
    log = (path / "logs" / f"{job}_0_log.out").read_text()
    errors = (path / "logs" / f"{job}_0_log.err").read_text()
    assert "Requeued job" in log + errors
    (task,) = children(job)
    os.kill(task, signal.SIGTERM)  # as scancel: saved, and not queued again
    until(lambda: not children(job))
    assert newest(path) > saved
    assert "got exit code 75" in (path / "logs" / f"{job}_0_log.err").read_text()


@pytest.mark.slow
def test_an_array_drains_a_sweep(tmp_path):
    pytest.importorskip("submitit")
    flags = f"--config=sweeps/toy --workdir={tmp_path / 's'} --config.steps=50"
    flags += " --config.train.eval_every=0 --config.parallel.devices=1"
    said = process("slurm", f"--run=sweep {flags}", "--cluster=local", cwd=tmp_path)
    assert said.count("job ") == 2  # one a program
    done = "4 members in 2 programs: 2 done"
    until(lambda: len(list((tmp_path / "s").glob("*/scores.json"))) == 2)
    until(lambda: done in process("sweep", *flags.split(), "--status", cwd=tmp_path))
