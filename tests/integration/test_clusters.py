"""How processes find each other: the variables that launchers set, read by real processes."""

import json
import os
import subprocess
import sys

import pytest

from tests.integration.test_processes import free_port
from tests.launch.commands import ROOT

PROGRAM = """
import json, sys
import jax
from devae_jax.launch import processes
devices, version = json.loads(sys.argv[1])
processes.join(processes.Job(local_devices=devices and tuple(devices), patience=60))
said = [jax.process_index(), jax.process_count(), jax.config._read("jax_cuda_visible_devices")]
try:
    processes.agree({"jax": version})
except ValueError as error:
    said.append(str(error))
print(json.dumps(said), flush=True)
"""


def slurm(process, local):
    return {
        "SLURM_JOB_ID": "17",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": str(local),
    }


def open_mpi(process, local):
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(process),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(local),
    }


def start(variables, devices, version):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "OMPI", "XLA"))}
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([devices, version])],
        env=inherited
        | variables
        | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def joined(cluster, locals_, devices=None, versions=("1", "1")):
    """What two processes say: their number, how many there are, the GPUs they take, an error."""
    port = {"JAX_COORDINATOR_PORT": str(free_port())}
    running = [
        start(cluster(process, local) | port, devices, version)
        for process, (local, version) in enumerate(zip(locals_, versions, strict=True))
    ]
    outputs = [one.communicate(timeout=120) for one in running]
    assert [one.returncode for one in running] == [0, 0], outputs
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def test_one_task_a_gpu_of_which_one_has_another_jax():
    said = joined(slurm, (0, 1), versions=("0.10.2", "0.10.1"))
    assert [one[:3] for one in said] == [[0, 2, "0"], [1, 2, "1"]]
    for one in said:
        assert "got another jax in process 1 than in process 0, expected the same" in one[3]


@pytest.mark.slow
def test_one_task_a_node_takes_the_devices_it_is_told():
    """JAX gives a task one device, the first of each node here, unless it is told."""
    assert joined(slurm, (0, 0)) == [[0, 2, "0"], [1, 2, "0"]]
    assert joined(slurm, (0, 0), [0, 1, 2, 3]) == [[0, 2, "0,1,2,3"], [1, 2, "0,1,2,3"]]


@pytest.mark.slow
def test_open_mpi():
    assert joined(open_mpi, (0, 1)) == [[0, 2, "0"], [1, 2, "1"]]
