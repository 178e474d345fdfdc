"""Training and scoring what a study lacks, in its folder; killed at any moment it goes on.

W/study.json: which table, preset and seeds.  W/made/: time and device of each program.
W/rows.jsonl: all scores.  W/devae,all/: the folder of a program, which trains a population.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

from devae_jax.files import FORMAT, LockedError, parsed, storing, write_json
from devae_jax.program import sweep
from devae_jax.program.sweep import Group
from devae_jax.runs import results
from devae_jax.runs.run import Run, load_members
from devae_jax.runs.train import train_members
from devae_jax.studies import rows
from devae_jax.studies.members import Study, planned
from devae_jax.studies.table import load, preset_of
from devae_jax.training.loop import NonFiniteError


def opened(
    workdir: str | Path, name: str, preset: str, *, seeds: int = 0, fit: bool = True
) -> Study:
    """The study of a table in its folder, planned; nothing is written.

    Args:
      seeds: of each line; 0: as many as the preset has, or the folder says.
      fit: ask the devices how many members they hold, unless the folder says it.

    Raises:
      ValueError: unknown table or preset, or the folder is of another study.
    """
    path, table = Path(workdir).absolute(), load(name)
    size = preset_of(table, preset)
    saved = _saved(path)
    size = size._replace(seeds=seeds or saved.get("seeds", size.seeds))
    wanted = {"format": FORMAT, "table": name, "preset": preset, "seeds": size.seeds}
    before = {key: saved.get(key) for key in wanted} if saved else wanted
    if before != wanted:
        raise ValueError(
            f"got workdir={path} with the study {before}, expected {wanted}; choose another "
            "--workdir"
        )
    sizes = saved.get("at_once", [])

    def at_once(number: int, group: Group) -> int:
        if number < len(sizes):
            return int(sizes[number])  # as on the machine that came first
        return sweep.fitting(group).members if fit else len(group.members)

    return planned(path, name, table, preset, size, at_once=at_once)


def make(study: Study, say: Callable[[str], None] = print) -> str:
    """Trains and scores every program that is not finished; rows.jsonl grows with each.

    A program that another process trains is left to it.

    Returns "done", "busy" (others train what is left), "diverged" (a program, the rest is done) or
    "stopped" by a signal.

    Raises:
      ValueError: a folder holds another run.
      StorageError: there is no room, no permission or no such disk.
    """
    _write_study(study)
    states = set()
    for number, program in enumerate(study.programs):
        about = f"program {number + 1}/{len(study.programs)}: {program.name}"
        say(f"{about}, {len(program.members)} members")
        start = time.monotonic()
        try:
            state = _program(study, number)
        except NonFiniteError as error:
            print(f"error: {program.name}: {error}", file=sys.stderr)
            state = "diverged"
        except LockedError as error:
            say(f"{about}: {error}")
            state = "busy"
        if state in ("trained", "stopped"):
            _note(study, number, time.monotonic() - start)
        if state == "trained":
            rows.write(study, rows.collect(study)[0])
        if state == "stopped":
            return state
        states.add(state)
    rows.write(study, rows.collect(study)[0])
    return next((state for state in ("diverged", "busy") if state in states), "done")


def _program(study: Study, number: int) -> str:
    """ "finished" before, "trained" now, or "stopped" by a signal."""
    _, config, members = study.programs[number]
    folder = study.folder(number)
    if folder.finished(config, members):
        if folder.scored(config.steps, len(members)):
            return "finished"
        # `finished` found this very config in the folder: its code is the user's.
        runs = load_members(folder.path, trust=True)
    else:
        runs = train_members(config, members, folder.path)
        if runs[0].step < config.steps:
            return "stopped"
    _results(study, runs)
    return "trained"


def _results(study: Study, runs: list[Run]) -> None:
    """Figures first: what is scored is finished."""
    if study.table.draw:
        for run in runs:
            results.draw(run)
    metrics = tuple(study.size.metrics or study.table.metrics)
    results.score_members(runs, metrics=metrics, progress=False)


def _note(study: Study, number: int, seconds: float) -> None:
    """Adds the time to that of earlier starts."""
    before = rows.made_of(study, number)
    device = jax.devices()[0]
    total = seconds + (before["seconds"] if before else 0.0)
    made = {"seconds": total, "device": f"{len(jax.devices())} x {device.device_kind}"}
    write_json(rows.file_of(study, number), made)


def _write_study(study: Study) -> None:
    with storing(study.path):
        (study.path / "made").mkdir(parents=True, exist_ok=True)
    if not _saved(study.path):
        wanted = {
            "format": FORMAT,
            "table": study.name,
            "preset": study.preset,
            "seeds": study.size.seeds,
            "at_once": study.at_once,
        }
        write_json(study.path / "study.json", wanted, indent=1)


def _saved(path: Path) -> dict:
    """study.json, {} if there is none.

    Raises:
      ValueError: it is damaged, or the folder is that of a run.
    """
    file = path / "study.json"
    if (path / "config.json").exists():
        raise ValueError(
            f"got workdir={path} with a run, expected the folder of a study or none; choose another"
        )
    if not file.exists():
        return {}
    try:
        saved = parsed(file.read_text())
    except (OSError, ValueError):
        saved = None
    if not isinstance(saved, dict) or "table" not in saved:
        raise ValueError(
            f"got a damaged {file}, expected that of a study; remove the file, and the same "
            "command writes it again: what is trained is kept"
        )
    return saved
