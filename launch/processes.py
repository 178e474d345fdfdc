"""Joining the processes of a job, and ending when one of them is lost."""

import ctypes
import hashlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

HEARTBEAT = 30  # seconds of silence after which a process counts as lost
_LOSS = re.compile(r"Gloo|NCCL|by peer|UNAVAILABLE|heartbeat|Socket closed", re.IGNORECASE)


class Job(NamedTuple):
    """How a process finds the others; what is None is detected (SLURM, Open MPI, TPU).

    coordinator: host:port of process 0
    local_devices: numbers of this machine's devices that the process takes
    patience: seconds to wait for the coordinator
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    local_devices: tuple[int, ...] | None = None
    patience: int = 300


def guarded(main: Callable[[], int], lost: int) -> int:
    """The exit code of `main`, run in a child; `lost` if the job lost a process.

    JAX aborts a process whose coordinator is gone, from a thread that Python cannot stop: the
    parent sees it. The signals that stop a run are passed on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        if sys.platform == "linux":  # end with the parent, also when it is killed
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(lost)
        return main()

    def forward(number: int, _: Any) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGABRT:
        print(f"error: {_explain('its coordinator does not answer')}", file=sys.stderr)
        code = lost
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if code >= 0 else 128 - code)


def loss(error: Exception) -> str | None:
    """What to say if an error means that another process is gone; None for other errors."""
    first = next(iter(str(error).splitlines()), "")
    return _explain(first[:200]) if _LOSS.search(str(error)) else None


def _explain(reason: str) -> str:
    return (
        f"the job lost a process ({reason}); the same command on all machines goes on from the "
        "last checkpoint"
    )


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
    devices = None if job.local_devices is None else list(job.local_devices)
    try:
        jax.distributed.initialize(
            job.coordinator,
            job.processes,
            job.process,
            devices,
            initialization_timeout=job.patience,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except jax.errors.JaxRuntimeError as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ValueError(
            f"got no job within {job.patience} s ({reason}), expected process 0 to answer; start "
            "it, fix the address, or set --patience"
        ) from error
    except (ValueError, RuntimeError) as error:  # the latter of Kubernetes, in many lines
        raise ValueError(
            f"got no job of many processes ({' '.join(str(error).split())}), expected one that "
            "JAX detects; give --coordinator, --processes and --process"
        ) from error


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
