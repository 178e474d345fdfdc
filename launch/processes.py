"""Joining the processes of a job, and the parent of each, which sees how it ends."""

import ctypes
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from devae_jax.launch import common, farewell

HEARTBEAT = 30  # seconds of silence after which a process counts as lost


class Job(NamedTuple):
    """How a process finds the others; what is None is detected (SLURM, Open MPI, TPU).

    coordinator: host:port of process 0
    local_devices: numbers of this machine's devices that the process takes
    patience: seconds to wait until all have come
    parting: seconds in which all leave JAX's coordinator, once `main` has ended in all
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    local_devices: tuple[int, ...] | None = None
    patience: int = 300
    parting: int = 300


def guarded(job: Job, main: Callable[[], int]) -> int:
    """The exit code of `main`, run in a child that has joined `job`.

    JAX aborts a process whose coordinator is gone, from a thread that Python cannot stop: the
    parent sees it, and knows whether the job was joined by then. The signals that stop a run are
    passed on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    heard, tell = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        if sys.platform == "linux":  # end with the parent, also when it is killed
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(common.EXIT_STOPPED)
        try:
            join(job)
        except BaseException as error:
            farewell.leave(farewell.told(error).code)
        os.write(tell, b"joined")
        os.close(tell)
        return farewell.joined(main)

    def forward(number: int, _: Any) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(tell)
    if code == -signal.SIGABRT:
        code = _aborted(job, joined=bool(os.read(heard, 1)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if code >= 0 else 128 - code)


def _aborted(job: Job, joined: bool) -> int:
    """Says why JAX ended the child; the exit code."""
    if joined:
        common.tell(farewell.lost("its coordinator does not answer"))
        return common.EXIT_STOPPED
    common.tell(
        f"got no job of {job.processes or 'the detected'} processes at "
        f"{job.coordinator or 'the detected coordinator'} (JAX's reason is above), expected all "
        f"within {job.patience} s, each with a number of its own; give all the same command, or "
        "set --patience"
    )
    return common.EXIT_BAD_INPUT


def join(job: Job) -> None:
    """Connects this process with the others; before JAX is used.

    Raises:
      ValueError: numbers that do not fit, nothing detected, or a coordinator out of reach.
    """
    import jax

    if job.processes is not None and not 0 <= (job.process or 0) < job.processes:
        raise ValueError(
            f"got --process={job.process} of --processes={job.processes}, expected 0 to "
            f"{job.processes - 1}; fix it"
        )
    if job.coordinator is not None and job.process is not None:
        host, port = _host_and_port(job.coordinator)
        if job.process:
            _reach(host, port, job)
        else:
            _check_free(port, job)
    failed: list[Exception] = []

    def connect() -> None:
        try:
            jax.distributed.initialize(
                job.coordinator,
                job.processes,
                job.process,
                None if job.local_devices is None else list(job.local_devices),
                initialization_timeout=job.patience + 60,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=job.parting,
            )
        except Exception as error:
            failed.append(error)

    # JAX aborts a process that has waited its time: this one gives up before, and can say why.
    connecting = threading.Thread(target=connect, daemon=True)
    connecting.start()
    connecting.join(job.patience)
    error = next(iter(failed), None)
    if connecting.is_alive() or isinstance(error, jax.errors.JaxRuntimeError):
        raise ValueError(
            f"got no job within {job.patience} s ({_known()}), expected all processes to be "
            "started and to reach the coordinator, process 0; start them, fix the address, or "
            "set --patience"
        ) from error
    if error is not None:  # a ValueError, or a RuntimeError of Kubernetes, in many lines
        raise ValueError(
            f"got no job of many processes ({' '.join(str(error).split())}), expected one that "
            "JAX detects; give --coordinator, --processes and --process"
        ) from error


def _known() -> str:
    """What this process knows of its job, given or detected."""
    from jax._src import distributed  # JAX shows the coordinator's address nowhere else

    state = distributed.global_state
    if state.coordinator_address is None:
        return "the coordinator is not detected yet"
    return f"process {state.process_id} of {state.num_processes} at {state.coordinator_address}"


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"got --coordinator={address}, expected host:port; fix it")
    return host.strip("[]"), int(port)


def _check_free(port: int, job: Job) -> None:
    """That JAX can listen on a port of this machine: where it cannot, it may end by SIGSEGV."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except (OSError, OverflowError) as error:  # the second from a port above 65535
        raise ValueError(
            f"got --coordinator={job.coordinator} ({error}), expected a free port of this "
            "machine; choose another"
        ) from error


def _reach(host: str, port: int, job: Job) -> None:
    end = time.monotonic() + job.patience
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() > end:
                raise ValueError(
                    f"got no answer from --coordinator={job.coordinator} in {job.patience} s "
                    f"({error}), expected process 0 there; start it, fix the address, or set "
                    "--patience"
                ) from error
            time.sleep(0.2)


def agree(things: Mapping[str, Any]) -> None:
    """Checks that all processes were given the same, before anything is compiled.

    Raises:
      ValueError: in every process, with the name of what differs and the processes it differs in.
    """
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return
    texts = [json.dumps(value, sort_keys=True, default=str) for value in things.values()]
    digests = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
    everyone = multihost_utils.process_allgather(np.stack(digests))
    for i, name in enumerate(things):
        other = [p for p in range(len(everyone)) if (everyone[p, i] != everyone[0, i]).any()]
        if other:
            raise ValueError(
                f"got another {name} in process {', '.join(map(str, other))} than in process 0, "
                "expected the same in all; give all processes the same command"
            )
