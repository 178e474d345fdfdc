"""Jobs of several processes on loopback: the same numbers as one."""

import json
import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from devae_jax.program import plan as programs
from devae_jax.runs.folder import Folder
from devae_jax.runs.train import train, train_members
from devae_jax.training.engine import MODES, engine
from tests.integration import worker
from tests.launch.commands import ROOT, free_port

MEMBERS = [{"seed": 1}, {"seed": 2, "optimizer.learning_rate": 1e-3}]


def started(count: int, devices: int, runs, images="") -> list[subprocess.Popen]:
    """`count` processes on the way, which train `runs`, (folder, mode, steps, members) each."""
    about = {"coordinator": f"127.0.0.1:{free_port()}", "count": count, "images": images}
    about |= {"devices": devices, "runs": [[str(folder), *more] for folder, *more in runs]}
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag]
    compiled = {"JAX_COMPILATION_CACHE_DIR": os.environ["DEVAE_TEST_COMPILED"]}
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)} | compiled
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return [
        subprocess.Popen(
            [sys.executable, worker.__file__, json.dumps(about | {"process": process})],
            env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(count)
    ]


def job(count: int, devices: int, runs, images="") -> str:
    """As `started`, to the end; what process 0 says."""
    running = started(count, devices, runs, images)
    outputs = [one.communicate(timeout=300 + 30 * len(runs))[0] for one in running]
    for one, output in zip(running, outputs, strict=True):
        assert one.returncode == 0, output
    return outputs[0]


def both(folder, members=()) -> list:
    """Runs of 10 steps in folder/jit and folder/pmap, as `job` takes them."""
    return [(folder / mode, mode, 10, members) for mode in MODES]


def losses(folder) -> np.ndarray:
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(row)["loss"] for row in rows])


def alone_on(folder, steps: int, mode="jit", members=(), images="", devices=1) -> np.ndarray:
    """Losses of the same run by this process alone, going on in `folder`."""
    config = worker.toy(steps, mode, images)
    config.parallel.devices = devices
    if members:
        train_members(config, members, folder)
    else:
        train(config, folder)
    return losses(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run by two processes of one device each, in both modes."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "said").write_text(job(2, 1, both(folder)))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of 20 steps of one process."""
    return alone_on(tmp_path_factory.mktemp("alone") / "run", 20)


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("mode, other", [("jit", "pmap"), ("pmap", "jit")])
def test_two_processes_train_as_one_and_one_goes_on_in_the_other_mode(pair, alone, mode, other):
    np.testing.assert_allclose(losses(pair / mode), alone[:2], rtol=1e-5)
    # Digests of what two processes had, checked by one, whose devices are others.
    assert list(Folder(pair / mode).checkpoints(alone=True).good_steps()) == [10]
    np.testing.assert_allclose(alone_on(pair / mode, 20, other), alone, rtol=1e-5)


@pytest.mark.xdist_group("processes")
def test_what_each_device_holds_is_said_in_both_modes(pair):
    plan = programs.plan(worker.toy(10))
    needed = engine(plan.program, plan.hparams, devices=jax.devices()[:2]).memory(0, 5)
    expected = str(needed._replace(limit=None))
    said = re.findall(r"^each device holds (.*) of [\d,]+ MB$", (pair / "said").read_text(), re.M)
    assert said == [expected] * 2


@pytest.mark.slow
@pytest.mark.parametrize("members", [(), MEMBERS], ids=["run", "population"])
@pytest.mark.parametrize("count, devices", [(2, 2), (4, 1), (4, 2)])
def test_more_processes_and_devices_train_as_one(tmp_path, count, devices, members):
    job(count, devices, both(tmp_path, members))
    expected = alone_on(tmp_path / "alone", 10, members=members)
    for mode in ("jit", "pmap"):
        np.testing.assert_allclose(losses(tmp_path / mode), expected, rtol=1e-5)
        assert list(Folder(tmp_path / mode).checkpoints(alone=True).good_steps()) == [10]
        largest = max((tmp_path / mode).rglob("d/*"), key=lambda file: file.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
        assert not list(Folder(tmp_path / mode).checkpoints(alone=True).good_steps())


LAYOUTS = [(1, 1), (1, 2), (2, 1), (2, 2)]  # processes, and devices of each


def carried_on(layout, runs) -> None:
    """Runs as `job` takes them, by the processes and devices of a layout."""
    count, devices = layout
    if count > 1:
        job(count, devices, runs)
    for folder, mode, steps, members in runs if count == 1 else ():
        alone_on(folder, steps, mode, members, devices=devices)


@pytest.mark.slow
@pytest.mark.parametrize("members", [(), MEMBERS], ids=["run", "population"])
def test_whoever_saved_any_other_goes_on_in_either_mode(tmp_path, members):
    """Bit for bit where the mode, processes and devices are those of before, else to 1e-5."""
    saved = {(layout, mode): tmp_path / f"{layout}{mode}" for layout in LAYOUTS for mode in MODES}
    for layout in LAYOUTS:
        carried_on(layout, [(saved[layout, mode], mode, 10, members) for mode in MODES])
        whole = [(tmp_path / f"whole{layout}{mode}", mode, 20, members) for mode in MODES]
        carried_on(layout, whole)
    expected = losses(tmp_path / "whole(1, 1)jit")
    for layout in LAYOUTS:
        runs = [
            (tmp_path / f"{source.name} by {layout}{mode}", mode, 20, members)
            for source in saved.values()
            for mode in MODES
        ]
        for folder, *_ in runs:
            shutil.copytree(tmp_path / folder.name.split(" by ")[0], folder)
        carried_on(layout, runs)
        for folder, mode, *_ in runs:
            np.testing.assert_allclose(losses(folder), expected, rtol=1e-5)
            if folder.name.startswith(f"{layout}{mode} by"):
                same = losses(tmp_path / f"whole{layout}{mode}")
                np.testing.assert_array_equal(losses(folder), same)


@pytest.mark.slow
def test_a_stream_goes_on_in_mid_epoch_with_another_number_of_processes(tmp_path):
    """Ten batches are no whole number of epochs of 75 images."""
    images = tmp_path / "images"
    images.mkdir()
    noise = np.random.RandomState(0).randint(0, 256, (75, 16, 16), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(images / f"{i}.png")
    job(2, 1, both(tmp_path), images=str(images))
    alone = alone_on(tmp_path / "alone", 20, images=str(images))
    for mode in ("jit", "pmap"):
        assert (tmp_path / mode / "checkpoints" / "10").is_dir()
        np.testing.assert_allclose(losses(tmp_path / mode), alone[:2], rtol=1e-5)
        found = alone_on(tmp_path / mode, 20, mode, images=str(images))
        np.testing.assert_allclose(found, alone, rtol=1e-5)
