"""How jobs of two processes end: who is slow is awaited, and one that fails ends both."""

import json
import os
import subprocess
import sys

import jax
import pytest

from devae_jax.files import StorageError
from devae_jax.launch import farewell
from devae_jax.launch.common import EXIT_BAD_INPUT, EXIT_STOPPED, EXIT_STORAGE
from tests.integration.test_clusters import slurm
from tests.launch.commands import ROOT, free_port

PROGRAM = """
import json, os, signal, sys, time
import jax, numpy as np
from jax.experimental import multihost_utils
from devae_jax.files import StorageError
from devae_jax.launch import processes
job, acts = json.loads(sys.argv[1])

def together():
    multihost_utils.process_allgather(np.zeros(2))

def act(name):
    if name == "together":
        together()
    elif name == "full":
        raise StorageError("got no room for x, expected some; make room")
    elif name == "memory":
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
    elif name == "refuse":
        raise ValueError("got 1, expected 2; fix it")
    elif name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(float(name))

def main():
    together()
    for name in acts:
        act(name)
    print("ended", flush=True)
    return 0

sys.exit(processes.guarded(processes.Job(**job), main))
"""


def start(job, acts=(), variables=()):
    one_device = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([job, acts])],
        env=one_device | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends(running) -> tuple[list[int], list[str]]:
    """Exit codes, and the errors that each said: one at most."""
    outputs = [one.communicate(timeout=100)[0] for one in running]
    said = [[line for line in text.splitlines() if line.startswith("error: ")] for text in outputs]
    assert all(len(lines) <= 1 for lines in said), outputs
    return [one.returncode for one in running], ["".join(lines) for lines in said]


def job(*acts, numbers=(0, 1), **options) -> tuple[list[int], list[str]]:
    """How processes of a job of two end that do `acts` once all have met."""
    about = {"coordinator": f"127.0.0.1:{free_port()}", "processes": 2, **options}
    pairs = zip(numbers, acts, strict=True)
    return ends([start(about | {"process": number}, act) for number, act in pairs])


def test_process_0_is_awaited_however_long_it_scores():
    """JAX's own patience with who has not ended is six seconds here."""
    assert job(["10"], [], parting=6) == ([0, 0], ["", ""])


def test_both_end_with_the_code_of_one_that_fails():
    """The other is told while it waits for what the first has yet to compute."""
    codes, (told, said) = job(["together"], ["full"])
    assert codes == [EXIT_STORAGE] * 2
    assert said == "error: got no room for x, expected some; make room"
    assert told == said.replace("error: ", "error: process 1: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "acts, code, text",
    [
        ((["full"], ["together"]), EXIT_STORAGE, "error: process 0: got no room"),
        ((["full"], ["100"]), EXIT_STORAGE, "error: process 0: got no room"),  # waits in no call
        ((["3", "full"], []), EXIT_STORAGE, "error: process 0: got no room"),  # in its scores
        ((["memory"], ["together"]), 1, "error: process 0: JaxRuntimeError: RESOURCE_EXHAUSTED"),
    ],
    ids=["together", "apart", "after", "memory"],
)
@pytest.mark.parametrize("failing", [0, 1])
def test_whatever_it_fails_of_and_whatever_the_other_does(acts, code, text, failing):
    codes, said = job(*acts if failing == 0 else acts[::-1])
    assert codes == [code] * 2
    assert said[1 - failing].startswith(text.replace("0", str(failing), 1))


@pytest.mark.slow
def test_what_both_refuse_each_says_once():
    codes, said = job(["refuse"], ["refuse"])
    assert (codes, said) == ([EXIT_BAD_INPUT] * 2, ["error: got 1, expected 2; fix it"] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("acts", [["together"], ["100"], []], ids=["together", "apart", "after"])
@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_is_noticed(acts, killed):
    """The other may be in a call that fails, in none, or wait for the end."""
    both = [["2", "killed"], acts]
    codes, said = job(*both if killed == 0 else both[::-1])
    assert (codes[killed], said[killed]) == (137, "")
    assert codes[1 - killed] == EXIT_STOPPED
    assert said[1 - killed].startswith("error: the job lost a process (")


LONELY = (
    "error: got no job within 3 s (process {} of 2 at {}), expected all processes to be started"
)


@pytest.mark.slow
def test_process_0_that_nobody_meets_says_so():
    place = f"127.0.0.1:{free_port()}"
    job = {"coordinator": place, "processes": 2, "process": 0, "patience": 3}
    codes, (said,) = ends([start(job)])
    assert codes == [EXIT_BAD_INPUT] and said.startswith(LONELY.format(0, place))


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
def test_a_detected_process_that_meets_nobody_says_so(process):
    port = str(free_port())
    variables = slurm(process, 0) | {"JAX_COORDINATOR_PORT": port}
    codes, (said,) = ends([start({"patience": 3}, (), variables)])
    assert codes == [EXIT_BAD_INPUT]
    assert said.startswith(LONELY.format(process, f"localhost:{port}"))


@pytest.mark.slow
def test_two_processes_of_one_number_are_no_loss():
    """JAX aborts the first, which no other command would change."""
    codes, said = job([], [], [], numbers=(0, 1, 1), processes=3, patience=15)
    assert codes == [EXIT_BAD_INPUT] * 3
    assert any("expected all within 15 s, each with a number of its own" in one for one in said)


def test_only_the_loss_of_a_process_is_one():
    memory = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
    assert "lost a process" in farewell.loss(
        jax.errors.JaxRuntimeError("Gloo failed: reset by peer")
    )
    assert "lost a process" in farewell.loss(ValueError("UNKNOWN: Gloo AllGather failed: closed"))
    assert farewell.loss(memory) is None
    assert farewell.loss(StorageError("runs/a: connection reset by peer")) is None
    assert farewell.loss(ValueError("got data.path=Gloo, expected a folder")) is None
