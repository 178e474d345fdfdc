"""Trains a grid of runs: python launch/sweep.py --config=sweeps/quickstart --workdir=runs/s

The config's `sweep` holds the axes. Those that change shapes make separate programs, all other
numbers are members of one; every program trains in its own folder below the workdir, and the
same command goes on where it stopped. Exit codes as in launch/train.py.
"""

import copy
import sys
from pathlib import Path

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


def main() -> int:
    if _CONFIG.value is None or "sweep" not in _CONFIG.value:
        raise ValueError("got no --config with a `sweep`, expected one; see configs/sweeps")
    common.enable_compilation_cache()

    from devae_jax.program import sweep
    from devae_jax.runs import results
    from devae_jax.runs.folder import Folder
    from devae_jax.runs.run import load_members
    from devae_jax.runs.train import train_members
    from devae_jax.training.loop import NonFiniteError

    config = copy.deepcopy(_CONFIG.value)  # keys that share a number go on sharing it
    axes = config.sweep
    with config.unlocked():
        del config.sweep
    code = 0
    groups = []
    for group in sweep.plan(config, axes):
        fit = sweep.Fit(_AT_ONCE.value, "--at_once") if _AT_ONCE.value else sweep.fitting(group)
        print(f"{group.name}: {fit.members} of {len(group.members)} members at once: {fit.reason}")
        groups += sweep.split(group, fit.members)
    for number, group in enumerate(groups):
        print(f"program {number + 1}/{len(groups)}: {group.name}, {len(group.members)} members")
        if _PLAN.value:
            for member in group.members:
                print(f"  {member}")
            continue
        folder, overwrite = Folder(Path(_WORKDIR.value) / group.name), _OVERWRITE.value
        if not overwrite and folder.finished(group.config, group.members):
            if not folder.scored(group.config.steps, len(group.members)):
                # `finished` found this very config in the folder: its code is the user's.
                results.score_members(load_members(folder.path, trust=True), progress=False)
            continue
        try:
            runs = train_members(group.config, group.members, folder.path, overwrite=overwrite)
        except NonFiniteError as error:
            print(f"error: {error}", file=sys.stderr)
            code = common.EXIT_NON_FINITE
            continue
        if runs[0].step < group.config.steps:
            return common.EXIT_STOPPED
        results.score_members(runs, progress=False)
    return code


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
