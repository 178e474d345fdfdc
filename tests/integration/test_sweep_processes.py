"""Four processes drain one sweep, two of them are killed: members are those of a serial run."""

import json
import subprocess
import time

import jax
import numpy as np
import pytest

from devae_jax.files import holder
from devae_jax.runs.run import load_members
from tests.launch.commands import start

DIMS = (2, 3, 4, 5, 6, 7)


def flags(folder):
    """Six programs of two members each."""
    return [
        "--config=sweeps/toy",
        f"--workdir={folder}",
        f"--config.sweep=(('model.latent_dim',{DIMS}),('seed',(0,1)))",
        "--config.steps=200",
        "--config.train.eval_every=0",
        "--config.train.log_every=10",
        "--config.train.checkpoint_every=20",
        "--config.train.tensorboard=false",
        "--config.parallel.devices=1",
    ]


def ended(process: subprocess.Popen, code: int = 0) -> str:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == code, output
    return output


def held(folder) -> dict[int, str]:
    """Programs by the process that trains them."""
    owners = {path: holder(path) for path in (folder / "programs").glob("*.lock")}
    return {owner["pid"]: path.stem for path, owner in owners.items() if owner}


def saved(folder, program: int) -> bool:
    return any((folder / f"latent_dim={DIMS[program]}" / "checkpoints").glob("[1-9]*"))


@pytest.mark.slow
def test_four_processes_of_which_two_are_killed_train_what_one_does(tmp_path):
    serial, shared = tmp_path / "serial", tmp_path / "shared"
    ended(start("sweep", *flags(serial)))
    running = [start("sweep", *flags(shared)) for _ in range(4)]
    killed = []
    end = time.monotonic() + 300
    while len(killed) < 2:
        assert time.monotonic() < end and all(p.poll() is None for p in running)
        for process in running:
            number = held(shared).get(process.pid)
            if number is not None and saved(shared, int(number)) and len(killed) < 2:
                process.kill()
                process.communicate()
                killed.append((process, number))
                running = [p for p in running if p is not process]
        time.sleep(0.05)
    said = ended(start("sweep", *flags(shared), "--status"))
    assert "12 members in 6 programs" in said
    output = "".join(ended(process) for process in running)
    for _, number in killed:
        assert f"program {int(number) + 1}/6" in output  # another process went on with it
    status = ended(start("sweep", *flags(shared), "--status"))
    assert "12 members in 6 programs: 6 done" in status and "time left: none" in status
    for dim in DIMS:
        name = f"latent_dim={dim}"
        rows = [(path / name / "metrics.jsonl").read_text() for path in (serial, shared)]
        assert rows[0] == rows[1]
        scores = [
            json.loads((path / name / "scores.json").read_text()) for path in (serial, shared)
        ]
        assert scores[0] == scores[1]
        for one, other in zip(*(load_members(p / name) for p in (serial, shared)), strict=True):
            assert one.step == other.step == 200
            for a, b in zip(*map(jax.tree.leaves, (one.state, other.state)), strict=True):
                if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
                    a, b = jax.random.key_data(a), jax.random.key_data(b)
                np.testing.assert_array_equal(a, b)
