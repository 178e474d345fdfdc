"""Keeps what studies gave, as rows and as a page; says what rows tell, and which run to take.

    python launch/results.py gather --runs='runs/*' --to=results/cpu.jsonl.gz
    python launch/results.py page
    python launch/results.py statistics --rows=runs/figure2/rows.jsonl
    python launch/results.py statistics --runs='runs/sweep/*'
    python launch/results.py agreement --runs=runs/figure2

gather: the rows of studies' folders, finished or not, as one file of JSON Lines; with --rows, also
  those of files that were gathered before, which may be the same one. A file with runs that would
  be lost is not replaced.
page: writes the tables of RESULTS.md from --rows; what is written between them is kept.
statistics: prints of each table that --rows give, or of --tables, the distribution of every
  score, paired tests over shared seeds with corrected p, rank correlations between scores, the runs
  that no other beats in MIG and reconstruction error, and what scores are sensitive to. A table of
  your own is named by its file, --tables=path/to/table.py. With --runs instead, the same of scored
  runs of no table, as of a sweep: a line is a method with what differs between its runs.
agreement: prints UDR of the finished runs in --runs, those of one setting among each other, the
  best first: which run to take where there are no labels.
"""

import glob
import sys
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from devae_jax.launch import common

_RUNS = flags.DEFINE_list("runs", [], "Folders of studies, sweeps or runs, as patterns.")
_ROWS = flags.DEFINE_list("rows", [], "Files of rows, as patterns; default results/*.jsonl.gz.")
_TO = flags.DEFINE_string("to", None, "gather: the file to write, .jsonl or .jsonl.gz.")
_TABLES = flags.DEFINE_list("tables", [], "statistics: of which tables; default all with rows.")
_METRICS = flags.DEFINE_list(
    "metrics", [], "statistics of --runs: which scores; default MIG, reconstruction error and KL."
)
_AGAINST = flags.DEFINE_string("against", None, "statistics: test others against this line alone.")
_TEST = flags.DEFINE_string("test", "t", "statistics: t, Student's paired test, or wilcoxon.")
_IMAGES = flags.DEFINE_integer("images", 500, "agreement: how many images to encode.")
_LAYER = flags.DEFINE_integer("layer", 0, "agreement: which latent layer.")
_TRUST = flags.DEFINE_bool("trust", False, "Run the Python files that tables and runs name.")
_PAGE = flags.DEFINE_string("page", "RESULTS.md", "page: the file whose tables are written.")


def main(command: str) -> int:
    from devae_jax.files import write_text
    from devae_jax.studies import given, results

    if command == "gather":
        return gather()
    if command == "agreement":
        return agreement()
    if command == "statistics":
        return statistics_of_runs() if _RUNS.value else statistics()
    known = given.read(_ROWS.value or [results.ROWS])
    place = Path(_PAGE.value)
    if place.is_dir():
        raise ValueError(f"got --page={place}, a folder, expected a Markdown file; name one")
    old = place.read_text() if place.exists() else ""
    blocks = results.tables(known, given.files(_ROWS.value or [results.ROWS])[0].parent)
    results.check_page(old, blocks, known.damaged)
    write_text(place, results.page(old, blocks))
    print(f"{len(blocks)} tables: {place}")
    return 0


def gather() -> int:
    from devae_jax.studies import results

    if _TO.value is None or not _TO.value.endswith((".jsonl", ".jsonl.gz")):
        raise ValueError(f"got --to={_TO.value}, expected a name in .jsonl or .jsonl.gz; give one")
    if not (_RUNS.value or _ROWS.value):
        raise ValueError("got neither --runs nor --rows, expected what to gather; give one")
    studies: list[Path] = []
    for pattern in _RUNS.value:
        folders = [Path(name) for name in sorted(glob.glob(pattern))]
        there = [folder for folder in folders if (folder / "study.json").exists()]
        if not there:
            raise ValueError(f"got --runs={pattern}, expected folders of studies; fix the name")
        studies += there
    found, damaged = results.gathered(studies, _ROWS.value, trust=_TRUST.value)
    results.write_rows(Path(_TO.value), found)
    _say(damaged)
    runs = {row["setting"] for row in found}
    print(f"{len(found)} rows of {len(runs)} runs, of {len(studies)} studies: {_TO.value}")
    return 0


def statistics() -> int:
    from devae_jax.names import unknown
    from devae_jax.studies import analysis, given, results, table

    if _METRICS.value:
        raise ValueError("got --metrics with --rows, whose tables have columns; remove it")
    known = given.read(_ROWS.value or [results.ROWS])
    tables = [table.named(name) for name in _TABLES.value]
    with tempfile.TemporaryDirectory() as nowhere:  # where no run lies: rows alone count
        own = [name for name in tables if table.is_own(name)]
        studies = results.studies(known, Path(nowhere), own, every_seed=True)
    names = list(dict.fromkeys(study.name for study, _ in studies))
    if not names:
        _say(known.damaged)
        raise ValueError(
            f"got {results.told(known)}, expected runs of a table of the library or of "
            "--tables=path/to/table.py; fix --rows, or name the table's file"
        )
    for name in tables:
        if name not in names:
            raise unknown("table", name, names)
    for study, there in studies:
        if study.name in (tables or names):
            options: dict[str, Any] = {"against": _AGAINST.value, "test": _TEST.value}
            text = analysis.markdown(study.table, there.rows, preset=study.preset, **options)
            print(text, end="\n\n")
    taken = {row["setting"] for _, there in studies for row in there.rows}
    if known.trainings.keys() - taken:
        _say([f"{results.told(known, taken)} match no run of these tables"])
    _say(known.damaged)
    return 0


def statistics_of_runs() -> int:
    from devae_jax.studies import analysis, scored, shown

    if _ROWS.value or _TABLES.value:
        raise ValueError("got --runs with --rows or --tables, expected one or the other; choose")
    known, folders = _found(shown)
    title = f"Runs in {', '.join(_RUNS.value)}"
    table, rows, missing = scored.as_table(folders, known, _METRICS.value, title=title)
    _say(missing)
    print(analysis.markdown(table, rows, against=_AGAINST.value, test=_TEST.value))
    return 0


def agreement() -> int:
    from devae_jax.studies import chosen, shown

    if not _RUNS.value:
        raise ValueError("got no --runs, expected folders of trained runs; give a pattern")
    common.enable_compilation_cache()
    known, folders = _found(shown)
    options: dict[str, Any] = {
        "images": _IMAGES.value,
        "layer": _LAYER.value,
        "trust": _TRUST.value,
    }
    ranked, missing = chosen.agreements(folders, known.labels, **options)
    _say([*known.missing, *missing])
    if not ranked:
        raise ValueError(
            f"got no two finished runs of one setting in {', '.join(_RUNS.value)}, expected "
            "some seeds of each; fix --runs"
        )
    print(chosen.markdown(ranked))
    return 0


def _found(shown):
    """What studies know of the runs that --runs names, and the runs' folders."""
    found = [shown.found(pattern, "config.json") for pattern in _RUNS.value]
    studies = dict.fromkeys(study for studies, _ in found for study in studies)
    known, _ = shown.known(studies, trust=_TRUST.value)
    return known, dict.fromkeys(run for _, runs in found for run in runs)


def _say(texts) -> None:
    for text in texts:
        print(text, file=sys.stderr)


def console() -> None:
    common.run(main, ("gather", "page", "statistics", "agreement"))


if __name__ == "__main__":
    console()
