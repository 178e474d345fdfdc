"""Makes a table or figure of the paper: python launch/reproduce.py table2 --preset=cpu --workdir=W

Plans the members, trains and scores those that W lacks, and prints the table with our value beside
the published one. Killed at any moment, the same command goes on; on machines that share W, each
takes programs that no other trains. W/rows.jsonl has a row a member and score, W/figure.png shows
them. Runs of which --rows has scores, of whatever table, are not trained again:

    python launch/reproduce.py figure4 --preset=cpu --workdir=V --rows=W/rows.jsonl

Tables: those of configs/paper and configs/studies, or one of your own, path/to/table.py. Presets:
those of the table; the library's have paper, the published setting; gpu, about ten minutes of an
H100; cpu, about twenty minutes of two cores a run; smoke, to see that it runs. `--status` says
what is done, running and failed, and the time left. Exit codes as in
launch/train.py.
"""

import sys

from absl import flags

from devae_jax.launch import common
from devae_jax.studies import table

_PRESET = flags.DEFINE_string("preset", "cpu", "A size that the table has.")
_ROWS = flags.DEFINE_list("rows", [], "Files, or patterns, of rows of runs that need no training.")
_FIGURE = flags.DEFINE_string("figure", None, "With --print: draw the table to this PNG file.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the study.", required=True)
_SEEDS = flags.DEFINE_integer("seeds", 0, "Runs of each line; 0: as the preset says.")
_SHARD = flags.DEFINE_string("shard", "0/1", "i/n: train programs i, i + n, ...; i is from 0.")
_RETRY = flags.DEFINE_bool("retry", False, "Try programs that failed once more.")
_WAIT = flags.DEFINE_bool("wait", True, "Wait for what others train, to take over if they die.")
_PRINT = flags.DEFINE_bool("print", False, "Print the table from what is there, train nothing.")
_PLAN = flags.DEFINE_bool("plan", False, "Print the programs and members, train nothing.")
_STATUS = flags.DEFINE_bool("status", False, "Say what is done and left, train nothing.")


def main(name: str) -> int:
    common.stop_on_signals()
    common.enable_compilation_cache()
    from devae_jax.program.sweep import shard
    from devae_jax.studies import figure, given, make, rows, show, status

    first, count = shard(_SHARD.value)
    training = not (_PRINT.value or _PLAN.value or _STATUS.value)
    study = make.opened(_WORKDIR.value, name, _PRESET.value, seeds=_SEEDS.value, fit=training)
    known = given.read(_ROWS.value, study.path)
    if _FIGURE.value is not None and not _FIGURE.value.endswith(".png"):
        raise ValueError(f"got --figure={_FIGURE.value}, expected a file that ends in .png; fix it")
    if _STATUS.value:
        print("\n".join(status.status(study, known)))
        return 0
    numbers = range(first, len(study.programs), count)
    if _PLAN.value:
        to_train = given.left(study, known, numbers)
        for number in numbers:
            program = study.programs[number]
            there = "" if number in to_train else ", in the given rows"
            about = f"{program.name}: {program.config.steps:,} steps{there}"
            print(f"program {number + 1}/{len(study.programs)}: {about}")
            for member in study.of_program(number):
                print(f"  {member.line.label}, seed {member.seed}")
        return 0
    ended = {}
    if training:
        retry, wait = _RETRY.value, _WAIT.value
        ended = make.make(study, numbers, given=known, retry=retry, wait=wait, say=_say)
    found = rows.collect(study, known)
    if _FIGURE.value is not None:
        figure.write(_FIGURE.value, study, found.rows)
    print(show.markdown(study, found))
    if any(record.state == "stopped" for record in ended.values()):
        return common.EXIT_STOPPED
    if any(record.diverged for record in ended.values()):
        return common.EXIT_NON_FINITE
    return common.EXIT_BAD_INPUT if ended else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def console() -> None:
    common.run(main, table.names(), files=True)


if __name__ == "__main__":
    console()
