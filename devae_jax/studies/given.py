"""Rows of runs that were trained before, in files: what they hold, and which serve a table."""

import functools
import glob
import gzip
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from devae_jax.evaluation.rows import sifted
from devae_jax.files import FormatError, parsed, readable
from devae_jax.metrics.choice import metrics_of
from devae_jax.studies.members import Member, Study

Row = dict[str, Any]
Kinds = type | tuple[type, ...]
NUMBER: Kinds = (int, float, type(None))
KINDS: Mapping[str, Kinds] = {  # of what a row must have
    "setting": str,
    "study": str,
    "line": str,
    "seed": int,
    "program": str,
    "member": int,
    "step": int,
    "at": NUMBER,
    "metric": str,
    "layer": int,
    "protocol": (str, type(None)),
    "value": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "seconds": NUMBER,
    "device": (str, type(None)),
    "version": (str, type(None)),
}
TRAINING = ("study", "program", "member", "seconds", "device", "version")
SCORE = ("metric", "layer", "protocol", "at")


class Given(NamedTuple):
    """Rows that were read.

    trainings: setting -> the rows of each training of that run, those of the first file first
    damaged: what was skipped, in words
    """

    trainings: Mapping[str, Sequence[Sequence[Row]]] = {}
    damaged: Sequence[str] = ()


def read(patterns: Iterable[str], workdir: Path | None = None) -> Given:
    """The rows in files of JSON Lines, each gzipped or not; damaged ones are named and skipped.

    Args:
      patterns: files, or patterns of files.
      workdir: of a study, whose rows.jsonl holds rows that it was given before.

    Raises:
      ValueError: there is no file of a name.
    """
    damaged: list[str] = []
    rows: list[Row] = []
    read = files(patterns)
    for file in read:
        rows += [{**row, "source": str(file)} for row in rows_of(file, damaged)]
    if workdir is not None and (own := workdir / "rows.jsonl").exists():
        # What the study trained itself is in its folders; an earlier version wrote no source.
        named = [] if own in read else damaged  # a pattern may name it too: once is enough
        rows += [row for row in rows_of(own, named) if row.get("source")]
    return Given(trainings(rows), damaged)


def files(patterns: Iterable[str]) -> list[Path]:
    """Raises ValueError for a pattern that names no file."""
    found: list[Path] = []
    for pattern in patterns:
        names = [Path(name) for name in sorted(glob.glob(pattern)) if Path(name).is_file()]
        if not names:
            raise ValueError(f"got --rows={pattern}, expected files of rows; fix the name")
        found += names
    return found


def rows_of(file: Path, damaged: list[str]) -> list[Row]:
    """The rows of a file that are whole; the others are named in `damaged`."""
    content = file.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content, whole = _unzipped(content)
        if not whole:
            damaged.append(f"{file.name}: the end of the compressed file is damaged, skipped")
    found, skipped = sifted(content.decode(errors="replace").splitlines(), _checked)
    damaged += [f"{file.name}: {which} skipped, {why}" for which, why in skipped]
    return found


def trainings(rows: Iterable[Row]) -> dict[str, list[list[Row]]]:
    """setting -> the rows of each of its trainings; a score that is there twice counts once."""
    found: dict[str, dict[tuple, dict[tuple, Row]]] = {}
    for row in rows:
        training = tuple(row[name] for name in TRAINING)
        score = tuple(row[name] for name in SCORE)
        found.setdefault(row["setting"], {}).setdefault(training, {}).setdefault(score, row)
    return {
        setting: [list(rows.values()) for rows in each.values()] for setting, each in found.items()
    }


def serving(given: Given, study: Study, setting: str) -> Sequence[Row]:
    """The rows of the first training of a run that has all scores of a study; none without."""
    for rows in given.trainings.get(setting, ()):
        if serves(rows, study):
            return rows
    return ()


def serves(rows: Sequence[Row], study: Study) -> bool:
    """Whether the rows of a training have what a study's columns show: scores and logged ones."""
    logged = {(row["metric"], row["at"]) for row in rows}
    columns = study.table.columns
    return scored(rows, study) and {(c.score, c.at) for c in columns if "/" in c.score} <= logged


def scored(rows: Sequence[Row], study: Study) -> bool:
    """Whether rows have the scores of a study's columns, of the layers that there are.

    Scores that the study's preset does not measure are not asked for.
    """
    there = {(row["metric"], row["layer"]) for row in rows if row.get("at") is None}
    layers = {layer for _, layer in there}
    measured = _scores(tuple(study.table.metrics))
    wanted = {
        (c.score, c.layer) for c in study.table.columns if c.score in measured and c.layer in layers
    }
    return bool(rows) and wanted <= there


@functools.cache
def _scores(metrics: tuple[str, ...]) -> set[str]:
    """The scores that some metrics give."""
    return {score.name for metric in metrics_of(metrics).values() for score in metric.scores}


def left(study: Study, given: Given, numbers: Iterable[int]) -> list[int]:
    """Those of a study's programs that have a member which no given rows serve.

    Pictures cannot be made from rows: where the table has some, all programs are left.
    """

    def served(member: Member) -> bool:
        return bool(serving(given, study, member.setting))

    if study.table.draw or not given.trainings:
        return list(numbers)
    return [n for n in numbers if not all(map(served, study.of_program(n)))]


def _checked(line: str) -> Row:
    """A row. Raises ValueError for what is none, or another version's."""
    try:
        row = parsed(line)
    except ValueError:
        raise ValueError("it is no JSON") from None
    if not isinstance(row, dict):
        raise ValueError("it is no row")
    try:
        row = readable(row, "a row")
    except FormatError:
        raise ValueError("it is in another format") from None
    if lacking := sorted(KINDS.keys() - row.keys()):
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for name, kinds in KINDS.items():
        if not isinstance(row[name], kinds) or isinstance(row[name], bool):
            raise ValueError(f"its {name} is {str(row[name])[:40]!r}")
    return row


def _unzipped(content: bytes) -> tuple[bytes, bool]:
    """What a gzip file holds as far as it is whole, and whether all of it is."""
    try:
        return gzip.decompress(content), True
    except (OSError, EOFError, zlib.error):
        machine = zlib.decompressobj(31)
        try:
            return machine.decompress(content), False
        except zlib.error:
            return b"", False
