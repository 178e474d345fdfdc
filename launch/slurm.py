"""Submits a run, a sweep or a study to SLURM through submitit, which is in the extra [slurm].

    devae-slurm --run="sweep --config=sweeps/quickstart --workdir=runs/s" \
        --parameters=slurm_partition=gpu,gpus_per_node=1,timeout_min=240
    devae-slurm --run="reproduce table2 --preset=gpu --workdir=runs/table2" --parameters=...

A sweep or a study becomes an array of as many tasks as it has programs. Each takes a program that
nobody trains, and the next one when it is done: so the array may be narrower (`--tasks`), and what
a lost node left is taken by another. Before the time limit and on preemption a task saves and is
queued again. Logs lie in W/logs. `--cluster=local` runs the same tasks on this machine.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from devae_jax.files import storing
from devae_jax.launch import common
from devae_jax.names import lookup

_RUN = flags.DEFINE_string("run", None, "What devae- commands do: 'sweep --config=...'.")
_TASKS = flags.DEFINE_integer("tasks", None, "Tasks of the array.", lower_bound=1)
_CLUSTER = flags.DEFINE_string("cluster", "slurm", "slurm, or local: processes of this machine.")
_PARAMETERS = flags.DEFINE_list("parameters", [], "name=value of submitit's executor.")


def main() -> int:
    try:
        import submitit
    except ImportError as error:
        raise ValueError(
            f"got no submitit ({error}), expected it installed; pip install 'devae_jax[slurm]'"
        ) from error

    from devae_jax.launch.requeue import Task

    command, workdir = parsed(_RUN.value or "")
    tasks = _TASKS.value or (1 if "devae_jax.launch.train" in command else programs(command))
    lookup(dict.fromkeys(("slurm", "local")), _CLUSTER.value, "--cluster")
    options = {"name": workdir.name, **parameters(_PARAMETERS.value)}
    try:
        with storing(workdir):
            executor = submitit.AutoExecutor(workdir / "logs", cluster=_CLUSTER.value)
        executor.update_parameters(**options)
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise ValueError(
            f"got {str(error).splitlines()[0]}, expected --parameters of submitit on a machine "
            "that can submit; fix them, or try --cluster=local"
        ) from error
    with storing(workdir):
        (workdir / "logs").mkdir(parents=True, exist_ok=True)
    with _quiet(), executor.batch():
        jobs = [executor.submit(Task(command)) for _ in range(tasks)]
    for job in jobs:
        print(f"job {job.job_id}: {job.paths.stdout}", flush=True)
    return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What is started in the block does not hold this process's output open; jobs have logs."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in kept:
        os.dup2(nowhere, number)
    try:
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def parsed(run: str) -> tuple[list[str], Path]:
    """The command that a task gives, and its workdir.

    Raises:
      ValueError: it is none of train, sweep and reproduce, or names no workdir.
    """
    from devae_jax.runs.place import on_disk

    words = shlex.split(run)
    if not words or words[0] not in ("train", "sweep", "reproduce"):
        raise ValueError(
            f"got --run={run!r}, expected 'train --…', 'sweep --…' or 'reproduce TABLE --…'; see "
            "--help"
        )
    places = [m[1] for word in words if (m := re.fullmatch(r"--?workdir=(.+)", word))]
    if len(places) != 1:
        raise ValueError(f"got --run={run!r}, expected one --workdir=… in it; add it")
    leave = [] if words[0] == "train" else ["--nowait"]
    command = [sys.executable, "-m", f"devae_jax.launch.{words[0]}", *words[1:], *leave]
    return command, on_disk(places[0])


def programs(command: list[str]) -> int:
    """How many programs a sweep or a study has to train; its config is checked by the way.

    One at least: where the given rows have all runs of a study, its table is still to be made.

    Raises:
      ValueError: it is refused; says why.
    """
    done = subprocess.run([*command, "--plan"], capture_output=True, text=True)
    found = re.findall(r"^program \d+/\d+: .*$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise ValueError(
            (done.stderr.strip().splitlines() or ["no programs"])[-1].removeprefix("error: ")
        )
    return max(1, sum(not line.endswith(", in the given rows") for line in found))


def parameters(given: list[str]) -> dict[str, Any]:
    """{"timeout_min": 240} of "timeout_min=240"; whole numbers are numbers.

    Raises:
      ValueError: no name=value.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise ValueError(f"got --parameters={text}, expected name=value,…; fix it")
        found[name] = int(value) if value.isdigit() else value
    return found


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
