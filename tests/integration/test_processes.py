"""Jobs of several processes on loopback: the same numbers as one, signals, and processes lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from devae_jax.launch import processes
from devae_jax.launch.common import EXIT_BAD_INPUT, EXIT_STOPPED
from devae_jax.runs.folder import Folder
from devae_jax.runs.train import train, train_members
from tests.integration import worker
from tests.launch.commands import ROOT, start, train_flags

MEMBERS = [{"seed": 1}, {"seed": 2, "optimizer.learning_rate": 1e-3}]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def job(folder, count: int, devices: int, members=(), images="") -> None:
    """Trains 10 steps in folder/jit and folder/pmap by `count` processes."""
    about = {"coordinator": f"127.0.0.1:{free_port()}", "count": count, "folder": str(folder)}
    about |= {"devices": devices, "members": list(members), "images": images}
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag]
    compiled = {"JAX_COMPILATION_CACHE_DIR": os.environ["DEVAE_TEST_COMPILED"]}
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)} | compiled
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    running = [
        subprocess.Popen(
            [sys.executable, worker.__file__, json.dumps(about | {"process": process})],
            env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(count)
    ]
    outputs = [one.communicate(timeout=300)[0] for one in running]
    for one, output in zip(running, outputs, strict=True):
        assert one.returncode == 0, output


def losses(folder) -> np.ndarray:
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(row)["loss"] for row in rows])


def on_one_device(folder, steps: int, mode: str = "jit", members=(), images="") -> np.ndarray:
    """Losses of the same run by this process alone, going on in `folder`."""
    config = worker.toy(steps, mode, images)
    config.parallel.devices = 1
    if members:
        train_members(config, members, folder)
    else:
        train(config, folder)
    return losses(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run by two processes of one device each, in both modes."""
    folder = tmp_path_factory.mktemp("pair")
    job(folder, 2, 1)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of 20 steps of one process."""
    return on_one_device(tmp_path_factory.mktemp("alone") / "run", 20)


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("mode, other", [("jit", "pmap"), ("pmap", "jit")])
def test_two_processes_train_as_one_and_one_goes_on_in_the_other_mode(pair, alone, mode, other):
    np.testing.assert_allclose(losses(pair / mode), alone[:2], rtol=1e-5)
    # Digests of what two processes had, checked by one, whose devices are others.
    assert list(Folder(pair / mode).checkpoints(alone=True).good_steps()) == [10]
    np.testing.assert_allclose(on_one_device(pair / mode, 20, other), alone, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("members", [(), MEMBERS], ids=["run", "population"])
@pytest.mark.parametrize("count, devices", [(2, 2), (4, 1), (4, 2)])
def test_more_processes_and_devices_train_as_one(tmp_path, count, devices, members):
    job(tmp_path, count, devices, members)
    expected = on_one_device(tmp_path / "alone", 10, members=members)
    for mode in ("jit", "pmap"):
        np.testing.assert_allclose(losses(tmp_path / mode), expected, rtol=1e-5)
        assert list(Folder(tmp_path / mode).checkpoints(alone=True).good_steps()) == [10]
        largest = max((tmp_path / mode).rglob("d/*"), key=lambda file: file.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
        assert not list(Folder(tmp_path / mode).checkpoints(alone=True).good_steps())


@pytest.mark.slow
def test_a_stream_goes_on_in_mid_epoch_with_another_number_of_processes(tmp_path):
    """Ten batches are no whole number of epochs of 75 images."""
    images = tmp_path / "images"
    images.mkdir()
    noise = np.random.RandomState(0).randint(0, 256, (75, 16, 16), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(images / f"{i}.png")
    job(tmp_path, 2, 1, images=str(images))
    alone = on_one_device(tmp_path / "alone", 20, images=str(images))
    for mode in ("jit", "pmap"):
        assert (tmp_path / mode / "checkpoints" / "10").is_dir()
        np.testing.assert_allclose(losses(tmp_path / mode), alone[:2], rtol=1e-5)
        found = on_one_device(tmp_path / mode, 20, mode, images=str(images))
        np.testing.assert_allclose(found, alone, rtol=1e-5)


def begin(folder, *changes, count=2):
    """`launch/train.py --distributed` without end, a process for each; changes of the last."""
    place = f"--coordinator=127.0.0.1:{free_port()}"
    flags = [*train_flags(folder, 1_000_000), "--distributed", place, f"--processes={count}"]
    flags = [flag for flag in flags if "parallel.devices" not in flag]
    flags += ["--config.batch_size=64"]
    more = [()] * (count - 1) + [changes]
    return [start("train", *flags, f"--process={i}", *more[i]) for i in range(count)]


def newest(folder) -> int:
    found = [path.name for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
    return max(map(int, found), default=0)


def reach(folder, step: int, running) -> None:
    end = time.monotonic() + 120
    while newest(folder) < step:
        assert all(one.poll() is None for one in running)
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_one_told_to_stop_stops_all_and_one_killed_ends_all(tmp_path):
    folder = tmp_path / "run"
    running = begin(folder)
    reach(folder, 20, running)
    running[1].send_signal(signal.SIGTERM)
    assert [one.wait(timeout=60) for one in running] == [EXIT_STOPPED] * 2
    saved = newest(folder)
    for victim in (0, 1):
        running = begin(folder)
        reach(folder, saved + 40, running)
        running[victim].kill()
        output, _ = running[1 - victim].communicate(timeout=60)
        assert running[1 - victim].returncode == EXIT_STOPPED
        assert "error: the job lost a process" in output
        running[victim].communicate()
        saved = newest(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, name", [("--config.seed=5", "--config"), ("--processes=3", "--processes")]
)
def test_processes_with_other_commands_all_stop(tmp_path, change, name):
    running = begin(tmp_path / "run", change)
    for one in running:
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT
        assert f"error: got another {name} in process 1 than in process 0" in output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_that_share_no_folder_all_stop(tmp_path):
    mine, other = tmp_path / "run", tmp_path / "elsewhere"
    for one in begin(mine, f"--workdir={other}"):
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT
        assert "that process 1 does not share with process 0, expected one folder" in output
    assert list(mine.iterdir()) == [] and not other.exists()


@pytest.mark.parametrize(
    "job, message",
    [
        (
            processes.Job("127.0.0.1:9", 2, 1, patience=0),
            "no answer from --coordinator=127.0.0.1:9",
        ),
        (processes.Job("here", 2, 1), "--coordinator=here, expected host:port"),
        (processes.Job("127.0.0.1:9", 2, 2), "--process=2 of --processes=2, expected 0 to 1"),
    ],
)
def test_a_job_that_cannot_be_joined_is_named(job, message):
    with pytest.raises(ValueError, match=message):
        processes.join(job)


def test_only_the_loss_of_a_process_is_one():
    assert "lost a process" in processes.loss(RuntimeError("Gloo all-reduce failed: reset by peer"))
    assert processes.loss(RuntimeError("RESOURCE_EXHAUSTED: out of memory")) is None
