"""How processes find each other: the variables that launchers set, read by real processes."""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from devae_jax.launch.common import EXIT_BAD_INPUT
from tests.launch.commands import ROOT, free_port, train_flags

PROGRAM = """
import json, os, sys
import jax
from devae_jax.launch import processes
devices, version = json.loads(sys.argv[1])
if "SUBDOMAIN" in os.environ:
    from tests.integration import kubernetes_api
    kubernetes_api.install(os.environ["SUBDOMAIN"])
if "GCE_METADATA_IP" in os.environ:
    del os.environ["TPU_SKIP_MDS_QUERY"]  # JAX sets it where there are no chips
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


ATTRIBUTES = "/computeMetadata/v1/instance/attributes/"


@contextlib.contextmanager
def tpu_vm(process, local):
    """The metadata of one machine of a slice of two, as JAX asks for them on a TPU VM."""
    del local
    values = {
        "agent-worker-number": str(process),
        "worker-network-endpoints": "unknown:unknown:127.0.0.1,unknown:unknown:127.0.0.2",
        "tpu-env": f"ACCELERATOR_TYPE: 'v5litepod-16'\nWORKER_ID: '{process}'\n",
    }

    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(values[self.path.removeprefix(ATTRIBUTES)].encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        yield {"JAX_FORCE_TPU_INIT": "1", "GCE_METADATA_IP": address}
        server.shutdown()


def gke_tpu(process, local):
    """A pod of an indexed job on TPU nodes; slices are named by MEGASCALE's variables."""
    del local
    return {
        "JAX_FORCE_TPU_INIT": "1",
        "TPU_SKIP_MDS_QUERY": "true",
        "TPU_WORKER_ID": "0",
        "TPU_WORKER_HOSTNAMES": f"127.0.0.{process + 1}",
        "MEGASCALE_COORDINATOR_ADDRESS": "127.0.0.1:8080",
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": str(process),
    }


def kubernetes(process, local):
    """A pod of an indexed job with a headless service, whose API answers."""
    del local
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "localhost", "SUBDOMAIN": "pods"}
    return pod | {"JOB_COMPLETION_INDEX": str(process)}


def start(variables, devices, version):
    others = ("SLURM", "OMPI", "XLA", "TPU", "MEGASCALE", "KUBERNETES")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(others)}
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
    with contextlib.ExitStack() as stack:
        running = []
        for process, (local, version) in enumerate(zip(locals_, versions, strict=True)):
            found = cluster(process, local)
            variables = found if isinstance(found, dict) else stack.enter_context(found)
            running.append(start(variables | port, devices, version))
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


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [tpu_vm, gke_tpu])
def test_a_tpu_slice_takes_all_devices_of_each_machine(cluster):
    assert joined(cluster, (0, 0)) == [[0, 2, "all"], [1, 2, "all"]]


@pytest.mark.slow
def test_kubernetes_tells_each_pod_its_number_and_how_many_there_are():
    assert joined(kubernetes, (0, 0)) == [[0, 2, "all"], [1, 2, "all"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, reason",
    [
        ({"SUBDOMAIN": ""}, "Pods within a job need a headless service"),
        ({"SUBDOMAIN": "forbidden"}, "Kubernetes API Error: 403 - Forbidden"),
        ({"JOB_COMPLETION_INDEX": None}, 'completionMode: "Indexed"'),
    ],
)
def test_what_kubernetes_lacks_is_named(change, reason):
    pod = {name: value for name, value in (kubernetes(0, 0) | change).items() if value is not None}
    one = start(pod, None, "1")
    _, errors = one.communicate(timeout=120)
    said = [line for line in errors.splitlines() if line.startswith("ValueError: ")][-1]
    assert "got no job of many processes (" in said and "give --coordinator" in said
    assert reason in said


@pytest.mark.slow
def test_kubernetes_numbers_the_pods_of_an_indexed_job(tmp_path):
    """The command of docs/clusters.md, through a shell; each pod is told another seed."""
    place, number = f"--coordinator=localhost:{free_port()} --processes=2", "$JOB_COMPLETION_INDEX"
    flags = [*train_flags(tmp_path / "run", 10), "--distributed", place, f"--process={number}"]
    command = f"exec {sys.executable} {ROOT}/launch/train.py {' '.join(flags)}"
    running = [
        subprocess.Popen(
            ["sh", "-c", f"{command} --config.seed={number}"],
            env=os.environ
            | {"JOB_COMPLETION_INDEX": str(pod), "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for pod in range(2)
    ]
    for one in running:
        output, _ = one.communicate(timeout=120)
        assert one.returncode == EXIT_BAD_INPUT, output
        assert "got another --config in process 1 than in process 0" in output
