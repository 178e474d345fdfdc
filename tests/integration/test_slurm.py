"""Jobs of submitit's local executor: drained by tasks, preempted and queued again."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from devae_jax.files import FORMAT
from devae_jax.studies import make
from devae_jax.studies.given import KINDS
from tests.launch.commands import call, process, train_flags


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--run=evaluate --workdir=w"], "'train --…', 'sweep --…' or 'reproduce TABLE --…'; see"),
        (["--run=train --config=devae:toy"], "expected one --workdir=… in it"),
        (["--run=train --workdir=w", "--cluster=slrum"], "did you mean 'slurm'"),
        (["--run=train --workdir=w", "--parameters=gpus"], "--parameters=gpus, expected name=va"),
        (["--run=train --workdir=w"], "expected --parameters of submitit on a machine that can"),
        (["--run=sweep --workdir=w --config=sweeps/tuy"], "did you mean 'sweeps/toy'"),
        (["--run=reproduce tabel2 --workdir=w"], "did you mean 'table2'"),
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


ROW = {"format": FORMAT, "study": "table1", "line": "a", "program": "p", "seed": 0, "member": 0}
ROW |= {"step": 20, "at": 1.0, "metric": "discriminator/tc", "layer": 0, "value": 1.0}


class Noting:
    """An executor that submits nothing."""

    def __init__(self, folder, cluster):
        self.tasks = []
        Noting.last = self

    def update_parameters(self, **given):
        pass

    def batch(self):
        return contextlib.nullcontext()

    def submit(self, task):
        self.tasks.append(task.command)
        return SimpleNamespace(job_id=len(self.tasks), paths=SimpleNamespace(stdout="log"))


def test_a_study_is_as_many_tasks_as_it_has_programs_to_train(tmp_path, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("submitit"), "AutoExecutor", Noting)
    study = f"reproduce table1 --preset=smoke --seeds=1 --workdir={tmp_path / 'w'}"
    planned = make.opened(tmp_path / "w", "table1", "smoke", seeds=1, fit=False)
    served = [dict.fromkeys(KINDS) | ROW | {"setting": m.setting} for m in planned.of_program(0)]
    (tmp_path / "rows").write_text("".join(json.dumps(row) + "\n" for row in served))
    for flags, count in (("", 3), ("--shard=1/2", 1), (f"--rows={tmp_path / 'rows'}", 2)):
        run = f"{study} {flags}"
        assert call("slurm", f"--run={run}").count("job ") == count
        command = [sys.executable, "-m", *f"devae_jax.launch.{run} --nowait".split()]
        assert Noting.last.tasks == [command] * count
    call("slurm", f"--run={study}", "--tasks=2")
    assert len(Noting.last.tasks) == 2
    assert [item.name for item in (tmp_path / "w").iterdir()] == ["logs"]  # the tasks begin it


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


@pytest.mark.slow
def test_an_array_drains_a_study(tmp_path):
    pytest.importorskip("submitit")
    flags = f"table1 --preset=smoke --seeds=1 --workdir={tmp_path / 's'}"
    said = process("slurm", f"--run=reproduce {flags}", "--cluster=local", cwd=tmp_path)
    assert said.count("job ") == 3  # one a program
    done = "9 members in 3 programs: 3 done"
    until(lambda: len(list((tmp_path / "s").glob("*/scores.json"))) == 3)
    until(lambda: done in process("reproduce", *flags.split(), "--status", cwd=tmp_path))
    printed = process("reproduce", *flags.split(), "--print", cwd=tmp_path)
    assert "Missing" not in printed
