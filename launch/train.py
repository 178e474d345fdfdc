"""Trains one method, or goes on where it stopped; then scores and draws the run.

    python launch/train.py --config=configs/quickstart.py --workdir=runs/quickstart
    devae-train --config=quickstart --workdir=runs/quickstart
    devae-train --list

Exit codes: 0 finished; 2 something in the config, data or folder is wrong; 3 the loss became
NaN or infinite (the last checkpoint is good); 4 the disk is full, gone or read-only (what was
saved before is whole); 75 stopped by SIGTERM or SIGINT after saving, or before or after the
training, or another process of the job was lost: the same command goes on. Where a process of a
job fails for another reason, all end with its code. A finished run that lacks scores or figures
gets them.
"""

import functools
import sys

from absl import flags
from ml_collections import config_flags

from devae_jax.launch import common, processes

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="A config's file or its name, quickstart, devae:toy.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; also gs://… and the like.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete the run that is in the folder.")
_LIST = flags.DEFINE_bool("list", False, "Print every method with paper, equation and config.")
_RESULTS = flags.DEFINE_bool("results", True, "Score and draw the run when it is finished.")
_PROFILE = flags.DEFINE_integer(
    "profile", 0, "First trace so many steps into W/profile, for Perfetto.", lower_bound=0
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One process of a job on many hosts: SLURM, TPU and MPI are detected."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, if not detected.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many there are, if not detected.")
_PROCESS = flags.DEFINE_integer("process", None, "Which one this is, from 0, if not detected.")
_LOCAL_DEVICES = flags.DEFINE_list(
    "local_devices", None, "Which of this machine's devices the process takes, if not as detected."
)
_PATIENCE = flags.DEFINE_integer(
    "patience", 300, "Seconds to wait until all processes have come.", lower_bound=1
)


def main() -> int:
    if _LIST.value:
        from devae_jax.objectives import METHODS

        for name, method in METHODS.items():
            print(f"{name:24} {method.paper}\n{'':24} {method.equation}\n{'':24} {method.config}")
        return 0
    if _CONFIG.value is None or _WORKDIR.value is None:
        raise ValueError("got no --config or no --workdir, expected both; see --help")
    if not _DISTRIBUTED.value:
        _check_alone()
        common.stop_on_signals()  # a process that waits for others dies of one meanwhile
    run = functools.partial(_train, _WORKDIR.value)
    return processes.guarded(_job(), run) if _DISTRIBUTED.value else run()


def _job() -> processes.Job:
    devices = _LOCAL_DEVICES.value
    if devices and not all(device.isdigit() for device in devices):
        raise ValueError(f"got --local_devices={','.join(devices)}, expected numbers; fix it")
    return processes.Job(
        _COORDINATOR.value,
        _PROCESSES.value,
        _PROCESS.value,
        tuple(map(int, devices)) if devices else None,
        _PATIENCE.value,
    )


def _check_alone() -> None:
    """That a run alone was told nothing of a job: its processes would all train the same."""
    for flag in (_COORDINATOR, _PROCESSES, _PROCESS, _LOCAL_DEVICES):
        if flag.value is not None:
            raise ValueError(
                f"got --{flag.name} without --distributed, expected both or neither; add it"
            )


def _train(workdir: str) -> int:
    common.enable_compilation_cache()

    import jax

    if _DISTRIBUTED.value:
        processes.agree(
            {
                "jax": jax.__version__,
                "--processes": _PROCESSES.value,
                "--config": _CONFIG.value.to_json_best_effort(),
            }
        )
        common.stop_on_signals()

    from devae_jax.evaluation.rows import table
    from devae_jax.runs import results
    from devae_jax.runs.train import train
    from devae_jax.training.loop import NonFiniteError

    try:
        run = train(
            _CONFIG.value,
            workdir,
            overwrite=_OVERWRITE.value,
            profile=_PROFILE.value,
            resume_results=_RESULTS.value,
        )
    except NonFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        return common.EXIT_NON_FINITE
    if run.step < run.config.steps:
        return common.EXIT_STOPPED
    if _RESULTS.value and jax.process_index() == 0:
        rows = results.score(run, progress=False)
        print(table(rows))
        figures = results.draw(run, rows)
        print(f"figures and report: {figures['report.html']}")
    return 0


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
