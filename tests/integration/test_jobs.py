"""Jobs of several commands on loopback: told to stop, killed, and refused."""

import json
import signal
import socket
import time

import numpy as np
import pytest
from PIL import Image

from devae_jax.launch import processes
from devae_jax.launch.common import EXIT_BAD_INPUT, EXIT_STOPPED
from devae_jax.program.schema import memory_bytes
from devae_jax.training.engine import MODES
from tests.integration.test_processes import MEMBERS, started
from tests.launch.commands import free_port, process, start, train_flags


def begin(folder, *changes, count=2, everywhere=False, places=(None, None)):
    """`launch/train.py --distributed` without end, a process for each; changes of the last.

    places: where each runs
    """
    place = f"--coordinator=127.0.0.1:{free_port()}"
    flags = [*train_flags(folder, 1_000_000), "--distributed", place, f"--processes={count}"]
    flags = [flag for flag in flags if "parallel.devices" not in flag]
    flags += ["--config.batch_size=64"]
    more = [changes if everywhere else ()] * (count - 1) + [changes]
    return [start("train", *flags, f"--process={i}", *more[i], cwd=places[i]) for i in range(count)]


def newest(folder) -> int:
    found = [path.name for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
    return max(map(int, found), default=0)


def reach(folder, step: int, running) -> None:
    end = time.monotonic() + 300
    while newest(folder) < step:
        assert all(one.poll() is None for one in running)
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "begun",
    [
        begin,
        lambda folder: started(2, 1, [(folder, "pmap", 1_000_000, ())]),
        lambda folder: started(2, 1, [(folder, "jit", 1_000_000, MEMBERS)]),
    ],
    ids=["jit", "pmap", "population"],
)
def test_one_told_to_stop_stops_all_and_one_killed_ends_all(tmp_path, begun):
    folder = tmp_path / "run"
    running = begun(folder)
    reach(folder, 20, running)
    running[1].send_signal(signal.SIGTERM)
    assert [one.wait(timeout=60) for one in running] == [EXIT_STOPPED] * 2
    saved = newest(folder)
    for victim in (0, 1):
        running = begun(folder)
        reach(folder, saved + 40, running)
        running[victim].kill()
        output, _ = running[1 - victim].communicate(timeout=60)
        assert running[1 - victim].returncode == EXIT_STOPPED
        assert "error: the job lost a process" in output
        running[victim].communicate()
        saved = newest(folder)


@pytest.mark.slow
def test_a_job_trains_to_the_end_and_process_0_scores(tmp_path):
    for one in begin(tmp_path / "run", "--config.steps=10", everywhere=True):
        output, _ = one.communicate(timeout=300)
        assert one.returncode == 0, output
        assert "error: " not in output and "Traceback" not in output
    assert (tmp_path / "run" / "scores.json").is_file()


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
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_does_not_fit_stops_all(tmp_path, mode):
    """Its state alone takes twice the memory; what is refused at a glance, its codes, does not."""
    latents = memory_bytes() // 4_000  # each with 9 kB of weights and of their two moments
    change = (f"--config.parallel.mode={mode}", f"--config.model.latent_dim={latents}")
    change += ("--config.eval.samples=20",)
    for one in begin(tmp_path / "run", *change, everywhere=True):
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT, output
        assert "on each device, expected one that fits" in output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_devices_that_leave_a_process_without_one_stop_all(tmp_path):
    for one in begin(tmp_path / "run", "--config.parallel.devices=1", everywhere=True):
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT, output
        (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
        assert ", which leaves none to process 1, expected 0 (all) or some of each" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("refusing", [0, 1])
def test_what_one_process_refuses_all_refuse(tmp_path, refusing):
    """Process 0 finds a file where a folder should be, or process 1 has none of the images."""
    folder, places = tmp_path / "run", [tmp_path / "0", tmp_path / "1"]
    folder.mkdir()
    for place in places:
        place.mkdir()
    changes = []
    if refusing == 0:
        (folder / "checkpoints").write_text("")
    else:
        (places[0] / "images").mkdir()
        for i in range(64):
            picture = Image.fromarray(np.full((16, 16), i, np.uint8))
            picture.save(places[0] / "images" / f"{i}.png")
        data = ("name=folder", "path=images", "image_size=16", "channels=1", "source.kind=stream")
        changes = [f"--config.data.{change}" for change in data]
    running = begin(folder, *changes, everywhere=True, places=places)
    said = []
    for one in running:
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT, output
        (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
        said.append(line.removeprefix("error: "))
    assert said[1 - refusing] == f"process {refusing}: {said[refusing]}"


@pytest.mark.slow
def test_processes_that_share_no_folder_all_stop(tmp_path):
    mine, other = tmp_path / "run", tmp_path / "elsewhere"
    other.mkdir()
    left = {"pid": 1, "id": "left by another that was killed"}
    (other / ".lock").write_text(json.dumps(left))
    for one in begin(mine, f"--workdir={other}"):
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT
        assert "that process 1 does not share with process 0, expected one folder" in output
    assert not mine.exists() and [file.name for file in other.iterdir()] == [".lock"]


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


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_in_use_is_named(host):
    """JAX, which comes next, would end the process."""
    with socket.create_server((host, 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"--coordinator={place} .*expected a free port"):
            processes.join(processes.Job(place, 2, 0))
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:99999 .*expected a free port"):
        processes.join(processes.Job("127.0.0.1:99999", 2, 0))
    processes._check_free(free_port(), processes.Job())


@pytest.mark.slow
def test_a_port_in_use_ends_a_command_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"--coordinator=127.0.0.1:{taken.getsockname()[1]}"
        job_of_two = ["--distributed", place, "--processes=2", "--process=0"]
        text = process("train", *train_flags(tmp_path / "run", 10), *job_of_two, code=2)
    (line,) = text.splitlines()
    assert line.startswith(f"error: got {place} (") and "expected a free port" in line
    assert not (tmp_path / "run").exists()
