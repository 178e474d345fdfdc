"""Trains a sweep of runs: python launch/sweep.py --config=sweeps/quickstart --workdir=runs/s

The config's `sweep` holds the axes of a grid, or a list of settings {key: value}, as of
configs/sweeps/drawn.py. What changes shapes makes separate programs, all other numbers are members
of one; every program trains in its own folder below the workdir, and the same command goes on where
it stopped.

The same command on any number of machines that share the workdir trains the sweep together: each
takes programs that nobody trains, and those of processes that died. `--shard=i/n` leaves a
process the programs i, i + n, ...: for machines that share no folder. `--status` says what is
done, running and failed, and the time left.

Exit codes as in launch/train.py: 3 where a program diverged; 2 where one failed otherwise or was
refused; 75 where a signal stopped it.
"""

import copy

from absl import flags
from ml_collections import config_flags

from devae_jax.launch import common

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="A config with a `sweep`, a file or a name.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the sweep.", required=True)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete the runs that are in the folder.")
_PLAN = flags.DEFINE_bool("plan", False, "Print the programs and members, train nothing.")
_AT_ONCE = flags.DEFINE_integer(
    "at_once", 0, "Members in one program; 0: as memory allows.", lower_bound=0
)
_SHARD = flags.DEFINE_string("shard", "0/1", "i/n: train programs i, i + n, ...; i is from 0.")
_STATUS = flags.DEFINE_bool("status", False, "Say what is done and left, train nothing.")
_RETRY = flags.DEFINE_bool("retry", False, "Try programs that failed once more.")
_WAIT = flags.DEFINE_bool("wait", True, "Wait for what others train, to take over if they die.")


def main() -> int:
    if _CONFIG.value is None or "sweep" not in _CONFIG.value:
        raise ValueError("got no --config with a `sweep`, expected one; see configs/sweeps")
    common.stop_on_signals()
    common.enable_compilation_cache()

    from devae_jax.program.sweep import shard
    from devae_jax.runs import status, sweep

    first, count = shard(_SHARD.value)
    config = copy.deepcopy(_CONFIG.value)  # keys that share a number go on sharing it
    axes = config.sweep
    with config.unlocked():
        del config.sweep
    look = _PLAN.value or _STATUS.value
    found = sweep.opened(
        _WORKDIR.value,
        config,
        axes,
        at_once=_AT_ONCE.value,
        overwrite=_OVERWRITE.value and not look,
        write=not look,
        say=_say,
    )
    if _STATUS.value:
        _say("\n".join(status.status(found)))
        return 0
    numbers = range(first, len(found.programs), count)
    if _PLAN.value:
        for number in numbers:
            name, _, members = found.programs[number]
            _say(f"program {number + 1}/{len(found.programs)}: {name}, {len(members)} members")
            _say("\n".join(f"  {member}" for member in members))
        return 0
    ended = sweep.drain(found, numbers, retry=_RETRY.value, wait=_WAIT.value, say=_say)
    states = {record.state for record in ended.values()}
    if "stopped" in states:
        return common.EXIT_STOPPED
    if any(record.diverged for record in ended.values()):
        return common.EXIT_NON_FINITE
    return common.EXIT_BAD_INPUT if states else 0


def _say(text: str) -> None:
    print(text, flush=True)


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
