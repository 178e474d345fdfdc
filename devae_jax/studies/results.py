"""Rows of many studies in one file, and the page of all tables that they give, RESULTS.md."""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devae_jax.files import write_bytes
from devae_jax.studies import given, make, rows, show, table
from devae_jax.studies.given import Given
from devae_jax.studies.members import Study

Row = dict[str, Any]
ROWS = "results/*.jsonl.gz"  # of all studies that were made, one file a preset
BLOCK = re.compile(r"<!-- table (\w+) (\w+) -->\n.*?<!-- end of table -->\n", re.S)
HEAD = """# Results

Tables are written by `python launch/results.py page` from the rows in `results/`; text between them
is kept.
"""


def gathered(
    folders: Iterable[str | Path], patterns: Sequence[str] = (), *, trust: bool = False
) -> tuple[list[Row], list[str]]:
    """The rows of studies, each run once, and what was skipped, in words.

    Of a run that was trained for several studies the training with most scores is taken. Rows
    that a study was given come with it, as they may be nowhere else.

    Args:
      folders: of studies; others are named as skipped.
      patterns: files of rows that were gathered before.
      trust: as `make.reopened`.

    Raises:
      ValueError: there is no file of a name.
    """
    damaged: list[str] = []
    found: list[Row] = []
    for folder in map(Path, folders):
        try:
            study = make.reopened(folder, trust=trust)
        except ValueError as error:
            damaged.append(f"{folder.name}: {error}")
            continue
        there = rows.collect(study, given.read([], folder))
        found += there.rows
        damaged += [f"{folder.name}: {text}" for text in there.damaged]
    for file in given.files(patterns):
        found += given.rows_of(file, damaged)
    own_first = sorted(found, key=lambda row: row.get("source") is not None)
    chosen = [max(each, key=len) for each in given.trainings(own_first).values()]
    once = [row | {"source": None} for run in chosen for row in run]
    return sorted(once, key=lambda row: (row["preset"], row["study"])), damaged


def write_rows(path: Path, found: Sequence[Row]) -> None:
    """Writes rows to a file of JSON Lines, compressed if its name ends in .gz.

    Raises:
      ValueError: a file that is there is damaged, or has runs that the rows lack.
    """
    if path.is_file():
        _check_kept(path, {row["setting"] for row in found})
    content = rows.lines(found).encode()
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _check_kept(path: Path, runs: set[str]) -> None:
    """That no run of a file is lost when these replace it; what cannot be read may be some."""
    damaged: list[str] = []
    lost = {row["setting"] for row in given.rows_of(path, damaged)} - runs
    if damaged:
        raise ValueError(
            f"got --to={path}, which is there and is no whole file of rows ({damaged[0]}), "
            "expected one to replace; move it away, and give its new name to --rows for what is "
            "left of it"
        )
    if lost:
        raise ValueError(
            f"got --to={path} with {len(lost)} runs that would be lost, expected to keep them; "
            f"add --rows={path}, or write another file"
        )


def page(text: str, blocks: Mapping[tuple[str, str], str]) -> str:
    """The page with its tables replaced; those that it lacks come last.

    Args:
      text: of the page before, "" for a new one. A table that `blocks` lacks is taken out.
      blocks: see `tables`.
    """
    there = BLOCK.findall(text)
    text = BLOCK.sub(lambda match: blocks.get((match[1], match[2]), ""), text or HEAD)
    return text + "".join(f"\n{blocks[name]}" for name in blocks if name not in there)


def check_page(text: str, blocks: Mapping[tuple[str, str], str], damaged: Sequence[str]) -> None:
    """That new blocks have all tables of a page, and were made from all rows.

    Raises:
      ValueError: a table would be lost, or rows were skipped as damaged; names them.
    """
    lost = [name for name in BLOCK.findall(text) if name not in blocks]
    if lost or damaged:
        gone = f"no rows of {', '.join(map(' '.join, lost))}" if lost else damaged[0]
        raise ValueError(
            f"got {gone}, expected all rows of the page's tables; give whole --rows, or remove "
            "those tables from the page"
        )


def studies(
    known: Given, beside: Path, own: Sequence[str] = (), *, every_seed: bool = False
) -> list[tuple[Study, rows.Found]]:
    """The tables that have a run in some rows, at each preset, and what of them is there.

    Args:
      beside: a folder where no study lies, in which they are planned.
      own: files of tables of the user's own, besides the library's.
      every_seed: also those beyond the preset's.
    """
    presets: dict[str, int] = {}  # and how many seeds rows of it reach to
    for trainings in known.trainings.values():
        for row in (training[0] for training in trainings if training):
            seeds = row["seed"] + 1 if every_seed else 0  # 0: as the preset says
            presets[row["preset"]] = max(seeds, presets.get(row["preset"], 0))
    found = []
    for name in (*table.names(), *own):
        for preset, seeds in presets.items():
            if preset in table.load(name).presets:
                path = beside / Path(name).stem
                study = make.opened(path, name, preset, seeds=seeds, fit=False)
                there = rows.collect(study, known)
                found += [(study, there)] if there.rows else []
    return found


def told(known: Given, but: Iterable[str] = ()) -> str:
    """What rows are of, "rows of 3 runs for figure2 at cpu", without those of some settings."""
    counts = Counter(
        f"{row['study']} at {row.get('preset')}"
        for setting in known.trainings.keys() - set(but)
        for row in known.trainings[setting][0][:1]
    )
    each = [f"{n} run{'s' * (n > 1)} for {study}" for study, n in counts.items()]
    return f"rows of {', '.join(each)}" if each else "no rows"


def tables(known: Given, beside: Path) -> dict[tuple[str, str], str]:
    """(table, preset) -> its part of the page, of all tables that have a run in some rows.

    Args:
      beside: the folder of the rows.
    """
    found = {}
    for study, there in studies(known, beside):
        name, preset = study.name, study.preset
        command = (
            f"    devae-reproduce {name} --preset={preset} --workdir=runs/{name} "
            f"--rows={beside.name}/{preset}.jsonl.gz\n"
        )
        title, _, rest = show.markdown(study, there).partition("\n\n")
        found[name, preset] = (
            f"<!-- table {name} {preset} -->\n{title}\n\n{command}\n{rest}\n<!-- end of table -->\n"
        )
    return found
