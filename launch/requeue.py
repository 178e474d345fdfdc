"""A command as a job of submitit: told to stop it saves, and the job is queued again."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from devae_jax.launch.common import EXIT_STOPPED


class Task:
    """Runs a command that saves on SIGTERM, ends with code 75 then, and goes on if given again.

    submitit's signal (SIGUSR2, before the time limit or on preemption) stops the command and
    queues the job again, as does a job that lost one of its processes. SIGTERM alone, as scancel
    sends it, stops the command and ends the job.
    """

    def __init__(self, command: Sequence[str]):
        self.command, self.folder = list(command), os.getcwd()
        self._running: int | None = None
        self._told = False

    def __call__(self) -> None:
        """Raises RuntimeError if the command does not end with code 0."""
        from submitit import JobEnvironment

        signal.signal(signal.SIGTERM, self._stop)
        self._running = subprocess.Popen(self.command, cwd=self.folder).pid
        code = _code(self._running)
        if code == EXIT_STOPPED and not self._told:
            os.kill(os.getpid(), JobEnvironment._usr_sig())
        if code:
            raise RuntimeError(f"got exit code {code} of {' '.join(self.command)}, expected 0")

    def checkpoint(self) -> Any:
        """Called by submitit at its signal: the job to queue again, None if it is done."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        code = EXIT_STOPPED if self._running is None else _code(self._running)
        again = Task(self.command)
        again.folder = self.folder
        return DelayedSubmission(again) if code else None

    def _stop(self, *_: Any) -> None:
        self._told = True
        if self._running is not None:
            os.kill(self._running, signal.SIGTERM)


def _code(process: int) -> int:
    """The exit code of a process, once it has ended.

    It is left to be asked again: submitit calls `checkpoint` from a signal handler, which
    interrupts this very call.
    """
    found = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    if found is None:
        raise RuntimeError(f"got no exit code of process {process}, expected one; give it again")
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
