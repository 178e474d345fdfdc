"""Training and scoring what a study lacks, in its folder; killed at any moment it goes on.

W/study.json: which table, preset and seeds.  W/programs/: how each program went, see `Sweep`.
W/rows.jsonl: all scores.  W/figure.png: the table as a figure.
W/devae,all/: the folder of a program, which trains a population.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from devae_jax.evaluation.codes import code_shape
from devae_jax.files import FORMAT, storing, write_json
from devae_jax.metrics.choice import metrics_of
from devae_jax.names import lookup
from devae_jax.program import sweep as planning
from devae_jax.program.sweep import Group
from devae_jax.runs import manifest, results
from devae_jax.runs.folder import Folder
from devae_jax.runs.layout import mapping, set_aside
from devae_jax.runs.place import on_disk
from devae_jax.runs.run import Run
from devae_jax.runs.study import lenient_scores
from devae_jax.runs.sweep import Record, Sweep, drain
from devae_jax.studies import figure, rows
from devae_jax.studies.given import Given, left, rows_of
from devae_jax.studies.members import Study, planned
from devae_jax.studies.table import at, is_own, load, named, preset_of

ASIDE = ("source", "data_dir")  # of a config's data: how it is drawn in training, where it lies


def opened(
    workdir: str | Path, name: str, preset: str, *, seeds: int = 0, fit: bool = True
) -> Study:
    """The study of a table in its folder, planned; nothing is written.

    Args:
      name: of the table, or the path of its file.
      seeds: of each line; 0: as many as the preset has, or the folder says.
      fit: ask the devices how many members they hold, unless the folder says it.

    Raises:
      ValueError: unknown table or preset, or the folder is of another study.
    """
    path, name, table = on_disk(workdir), named(name), load(name)
    lookup(figure.FIGURES, table.figure, "figure of the table")
    size = preset_of(table, preset)
    table = at(table, size)
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
        return planning.fitting(group).members if fit else len(group.members)

    return planned(path, name, table, preset, size, at_once=at_once)


def reopened(path: Path, *, trust: bool = False) -> Study:
    """The study that a folder holds, planned as it says.

    Args:
      trust: run the file of the user's own that it names, if its table is in one.

    Raises:
      ValueError: there is none that can be read, or its table is code that is not trusted.
    """
    try:
        about = mapping(path / "study.json")
        if is_own(about["table"]) and not trust:
            raise ValueError(
                f"its table is {about['table']}, code that is not the library's; look at it, then "
                "pass --trust to run it"
            )
        return opened(path, about["table"], about["preset"], fit=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"no study that can be read ({error})") from error


class Programs(Sweep):
    """Those of a study, as the programs of a sweep."""

    def __init__(self, study: Study, finish: Callable[[list[Run]], Any]):
        super().__init__(study.path, study.programs, finish)
        self.study = study

    def has_results(self, number: int) -> bool:
        """Whether members are scored with all that the study asks for, or diverged."""
        return rows.whole(self.study, number)


def make(
    study: Study,
    numbers: Sequence[int] | None = None,
    *,
    given: Given | None = None,
    retry: bool = False,
    wait: bool = True,
    say: Callable[[str], None] = print,
) -> dict[int, Record]:
    """Trains and scores every program that is not finished; rows.jsonl grows with each.

    The first seed of every line comes first, then the second: a study that is stopped has whole
    rounds. Programs that others train are left to them, see `runs.sweep.drain`.

    Args:
      numbers: of the programs; all if None.
      given: rows of runs that were trained before; a program whose members all have some is
        not trained.
      retry, wait, say: see `runs.sweep.drain`.

    Returns the records of the programs that failed or were refused, and of one that a signal
    stopped.

    Raises:
      ValueError: another process has written another study in its folder since it was planned, or
        the table has lines of other shapes than when its folder was begun.
      StorageError: there is no room, no permission or no such disk.
    """
    _write_study(study)

    given = given or Given()

    def note() -> None:
        with manifest.alone(study.path):  # rows that another adds meanwhile would be written over
            found = rows.collect(study, given).rows
            rows.write(study, found)
        figure.write(study.path / "figure.png", study, found)  # takes long, and can be made anew

    def finish(runs: list[Run]) -> None:
        if (folder := runs[0].folder) is not None:
            _mend_scores(folder, say)
        _results(study, runs)
        note()

    for text in given.damaged:
        say(text)
    _keep_damaged(study.path / "rows.jsonl", say)
    note()  # what is given must not be lost with its file
    chosen = range(len(study.programs)) if numbers is None else numbers
    order = sorted(left(study, given, chosen), key=study.round)
    ended = drain(Programs(study, finish), order, retry=retry, wait=wait, say=say)
    note()
    return ended


def _keep_damaged(rows_file: Path, say: Callable[[str], None]) -> None:
    """A copy of rows.jsonl, if not all of it can be read: what is written next lacks the rest."""
    damaged: list[str] = []
    if rows_file.exists():
        rows_of(rows_file, damaged)
    if damaged:
        say(f"{rows_file} is damaged and is written anew; {set_aside(rows_file).name} is a copy")


def _mend_scores(folder: Folder, say: Callable[[str], None]) -> None:
    """Leaves whole rows in scores.json, so that what lacks can be added; what was is copied."""
    damaged: list[str] = []
    with folder.scoring():
        whole = lenient_scores(folder, damaged)
        if damaged:
            kept = set_aside(folder.path / "scores.json")
            folder.write_scores(whole)
            say(f"{' '.join(damaged)} {kept.name} is a copy; what lacks is scored again.")


def _results(study: Study, runs: list[Run]) -> None:
    """Figures first: what is scored is finished.

    Cheap metrics of all layers, as in training; others of the layers of columns, on one sample.
    Floor and ceiling of the others depend on the data set and the number of latents, not on the
    run: one run of each has them. Metrics that take minutes, as DCI by boosted trees, go without:
    the noise code and the perfect one would take as long as two runs.
    """
    if study.table.draw:
        for run in runs:
            results.draw(run)
    metrics = study.table.metrics
    if "cheap" in metrics:
        results.score_members(runs, metrics=["cheap"], progress=False)
    slower = metrics_of([name for name in metrics if name != "cheap"])
    quick = [name for name, metric in slower.items() if metric.seconds is None]
    asked, first = {column.layer for column in study.table.columns}, _first_of_each(study)
    for run in runs if slower else ():
        layers = sorted(asked & set(range(code_shape(run.coder, run.dataset)[0])))
        place = run.folder and run.folder.name, run.member
        bounded = quick if place in first else []
        bare = [name for name in slower if name not in bounded]
        for names in filter(None, (bounded, bare)):
            options = {"layers": layers, "seeds": (0,), "calibrate": names is bounded}
            results.score_members([run], metrics=names, progress=False, **options)


def _first_of_each(study: Study) -> set[tuple[str, int]]:
    """The first run of each data set and number of latents: its program's name, its number."""
    first: dict[str, tuple[str, int]] = {}
    for member in study.members:
        data = {k: v for k, v in member.config.data.to_dict().items() if k not in ASIDE}
        kind = json.dumps([data, member.config.model.latent_dim], default=str)
        first.setdefault(kind, (study.programs[member.program].name, member.number))
    return set(first.values())


def _write_study(study: Study) -> None:
    """Writes study.json, unless another process has, since the study was planned.

    Raises:
      ValueError: the other's programs are not these, as on a machine with other memory.
    """
    wanted = {
        "format": FORMAT,
        "table": study.name,
        "preset": study.preset,
        "seeds": study.size.seeds,
        "at_once": study.at_once,
    }
    with storing(study.path):
        (study.path / "programs").mkdir(parents=True, exist_ok=True)
    with manifest.alone(study.path):
        manifest.clean(study.path)
        saved = _saved(study.path)
        if not saved:
            write_json(study.path / "study.json", wanted, indent=1)
    changed = [key for key in wanted if saved and saved.get(key, wanted[key]) != wanted[key]]
    if changed:
        raise ValueError(
            f"got workdir={study.path} where another process has just written a study of other "
            f"{', '.join(changed)}, expected this one; give the same command again or, if the "
            "table has changed since, choose another --workdir, with this one's rows as --rows"
        )


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
        saved = mapping(file)
    except (OSError, ValueError):
        saved = {}
    if "table" not in saved:
        raise ValueError(
            f"got a damaged {file}, expected that of a study; remove the file, and the same "
            "command writes it again: what is trained is kept"
        )
    return saved
