"""How the processes of a job end: together, and all with the code of one that fails.

A process that fails for a reason of its own leaves it, with its exit code, at the coordinator
before it ends. The others say it too and end with that code, whatever they are waiting in: of many
codes a scheduler sees the highest, and 75, "the same command goes on", would have it start again
what fails again.
"""

import contextlib
import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from devae_jax.launch import common

LOOK = 1.0  # seconds between two looks at what others left
OWN = 5.0  # seconds in which a process that waits for one that failed may notice by itself
LAST = 20.0  # seconds that process 0, without which the others are aborted, waits for them
FOREVER = 30 * 24 * 3600 * 1000  # ms; a lost process is noticed by its heartbeats, long before
ENDED = "devae/ended/"

_STATUS = re.compile(r"(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED): ")
_LOSS = re.compile(
    r"Gloo|NCCL|by peer|UNAVAILABLE|heartbeat|Socket closed|Barrier (timed|failed)", re.IGNORECASE
)


class End(NamedTuple):
    """Why a process ends, for the others, and with which exit code."""

    code: int
    text: str


class Board(NamedTuple):
    """What the processes of this job left before they ended."""

    client: Any
    process: int
    processes: int

    def leave(self, end: End) -> None:
        with contextlib.suppress(Exception):  # the coordinator may be what is gone
            self.client.key_value_set(f"{ENDED}{self.process}", json.dumps(end))

    def left(self) -> list[End]:
        """Reasons come before losses, which they cause."""
        with contextlib.suppress(Exception):
            found = [End(*json.loads(text)) for _, text in self.client.key_value_dir_get(ENDED)]
            return sorted(found, key=lambda end: end.code == common.EXIT_STOPPED)
        return []


def joined(main: Callable[[], int]) -> int:
    """The exit code of `main` in this process of a job, once it has ended in all.

    Where it raises, here or elsewhere, the process ends with the code of the failure. Not before
    the others, if it is process 0: JAX aborts those that outlive it.
    """
    from jax._src import distributed  # JAX shows the job's store of keys nowhere else

    state = distributed.global_state
    board = Board(state.client, state.process_id, state.num_processes)
    failing, done = threading.Lock(), threading.Event()

    def fail(error: BaseException | None = None) -> NoReturn:
        """Ends this process for `error` or what another left, and says why, also to the others."""
        failing.acquire()  # never released: one thread ends the process
        gone = lost("its coordinator does not answer") if error is None else loss(error)
        if error is None or gone:
            end = next(iter(board.left()), End(common.EXIT_STOPPED, str(gone)))
        else:
            end = told(error)
            end = end._replace(text=f"process {board.process}: {end.text}")
        board.leave(end)
        if gone:  # not before: at a loss JAX may abort meanwhile, and the parent says it
            common.tell(end.text)
        until = time.monotonic() + LAST
        if board.process == 0 and end.code != common.EXIT_STOPPED:
            while len(board.left()) < board.processes and time.monotonic() < until:
                time.sleep(LOOK / 5)
        leave(end.code)

    def watch() -> None:
        while not done.wait(LOOK):
            if board.left() and not done.wait(OWN):
                fail()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        code = main()
        board.client.wait_at_barrier("devae/done", FOREVER)
    except BaseException as error:
        done.set()
        fail(error)
    done.set()
    watching.join()  # a thread in JAX while Python ends would abort the process
    return code


def told(error: BaseException) -> End:
    """Says why this process ends, with all of it where it is not the user's mistake."""
    if isinstance(error, common.Stopped):
        print(error, file=sys.stderr)
        return End(common.EXIT_STOPPED, str(error))
    known = common.verdict(error)
    if known is None:
        traceback.print_exception(error)
        return End(1, f"{type(error).__name__}: {_first_line(error)}")
    code, text = known
    if text:
        common.tell(text)
    return End(code, text[:2000] or f"ended with code {code}")


def leave(code: int) -> NoReturn:
    """Ends this process now: in good order JAX would wait for processes that are gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def loss(error: BaseException) -> str | None:
    """What to say if an error means that another process is gone; None for other errors."""
    import jax

    text = str(error)
    # Some come as plain ValueErrors, which have the status of an RPC in front.
    of_jax = isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(text)
    return lost(_first_line(error)) if of_jax and _LOSS.search(text) else None


def lost(reason: str) -> str:
    """What to say where the job lost a process."""
    return (
        f"the job lost a process ({reason}); the same command on all machines goes on from the "
        "last checkpoint"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
