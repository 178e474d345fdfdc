"""What of a study is there, as rows: one a member and score, and what is missing."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from devae_jax.files import FORMAT, jsonable, write_text
from devae_jax.program.saved import changed
from devae_jax.runs.folder import Folder
from devae_jax.runs.study import lenient_metrics, lenient_scores
from devae_jax.runs.sweep import Sweep
from devae_jax.studies import given as before
from devae_jax.studies import information
from devae_jax.studies.given import Given
from devae_jax.studies.members import Member, Study
from devae_jax.studies.table import Column, Published

Row = dict[str, Any]
# What training logged that is kept of every member, a number a layer, at eighths of training:
# enough for curves, and for the columns of other tables.
LOGGED = ("eval/mig", "eval/diffusion", "eval/reconstruction_sampled", "eval/kl")
SHARES = tuple(i / 8 for i in range(1, 9))
LATE = ("floor", "ceiling", "untimed")  # keys that rows of before may lack
DIGITS = 6  # of what training logged: chance is in the third


class Missing(NamedTuple):
    """A member without scores, and why, in words; "" where it is only not trained yet."""

    member: Member
    why: str


class Found(NamedTuple):
    """What of a study is there.

    missing: members without scores; damaged: files and rows that were skipped, in words
    """

    rows: list[Row]
    missing: list[Missing]
    damaged: list[str]


def collect(study: Study, given: Given | None = None) -> Found:
    """All rows of the members that are finished, in the study's folder or in given rows.

    A row has table, preset, line, column (None where the table has none for it), config, changes,
    seed, setting (see `setting`), step, at (of what training logged: after which share of it),
    metric, layer, protocol, value, low, high, floor and ceiling (where they were measured),
    published, published_std, and of its training:
    study (the table for which it was), program, member, seconds (of training and scoring, a
    member's share), untimed (steps that these seconds leave out, as the processes that trained them
    were killed), device, version (of the library), and source (the file it was given in, None
    for what the folder has). Those of mutual information over training have more, see
    `information.kept`. A member that is not scored with all of the table's metrics has none.
    """
    given = given or Given()
    found = Found([], [], list(given.damaged))
    sweep = Sweep(study.path, study.programs)
    mine: dict[tuple[int, int], list[Row]] = {}  # program and number of a member
    why: dict[tuple[int, int], str] = {}  # it has no rows
    for number, program in enumerate(study.programs):
        folder, members = study.folder(number), study.of_program(number)
        record = sweep.record(number)
        share = record.seconds / len(members) if record.trained else None
        untimed = max(program.config.steps - record.trained // len(members), 0)
        about = {"program": program.name, "seconds": share, "untimed": untimed}
        about |= {"device": record.device or None}
        try:
            scores = _final(folder, program.config.steps, found.damaged)
            logged = lenient_metrics(folder, found.damaged) if scores else []
        except (ValueError, OSError) as error:  # also of a folder that is deleted meanwhile
            scores, logged = [], []
            found.damaged.append(str(error))
        for member in members:
            own = [row for row in scores if row["member"] == member.number]
            if differing := own and _changed(member, own[0]):
                found.damaged.append(
                    f"{program.name}, seed {member.seed}: trained with another config "
                    f"({'; '.join(differing)}), skipped; choose another folder for the study"
                )
                own = []
            place = number, member.number
            mine[place] = [row | about for row in _of_member(study, member, own, logged)]
            if not mine[place]:
                why[place] = _why(sweep, number, member.number)
    for member in study.members:
        place = member.program, member.number
        rows = mine[place] or _given(study, given, member)
        found.rows.extend(rows)
        if not rows:
            found.missing.append(Missing(member, why[place]))
    return found


def _why(sweep: Sweep, number: int, member: int) -> str:
    """Why a member of a program has no scores, as far as its folder and record say."""
    record = sweep.record(number)
    if member in sweep.folder(number).diverged(sweep.programs[number].config.steps):
        return "diverged"
    if sweep.holder(number) is not None:
        return "is being trained"
    if record.diverged:
        return "diverged"
    return f"{record.state}: {record.error}" if record.state in ("failed", "refused") else ""


def write(study: Study, rows: Sequence[Row]) -> None:
    """Replaces rows.jsonl of the study's folder, in one step."""
    write_text(study.path / "rows.jsonl", lines(rows))


def lines(rows: Iterable[Row]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(jsonable({"format": FORMAT} | row)) + "\n" for row in rows)


def values_of(rows: Iterable[Row], line: str, column: str) -> list[float]:
    """What the runs of a line have in a column of the table."""
    mine = (row["value"] for row in rows if (row["line"], row["column"]) == (line, column))
    return [value for value in mine if value is not None]


def _final(folder: Folder, step: int, damaged: list[str]) -> list[Row]:
    """The scores of mean codes at the last step, on all images; damaged rows are named."""
    return [
        row
        for row in lenient_scores(folder, damaged)
        if (row["step"], row["representation"]) == (step, "mean") and "images" not in row
    ]


def _changed(member: Member, score: Row) -> list[str]:
    """Keys in which the run that was scored is not the one that the table plans."""
    return changed(score["settings"] | {"seed": score["seed"]}, member.config)


def _of_member(
    study: Study, member: Member, mine: Sequence[Row], logged: Sequence[Row]
) -> list[Row]:
    """The rows of one member of a program from its scores, none if it has not all."""
    if not before.scored(mine, study):
        return []
    training = {
        "study": study.name,
        "member": member.number,
        "version": mine[0].get("library"),
        "source": None,
    }
    kept = ("step", "metric", "layer", "protocol", "value", "low", "high", "floor", "ceiling")
    rows = [{"at": None} | {key: row.get(key) for key in kept} for row in mine]
    steps = member.config.steps
    curve = [row for row in logged if row.get("member") == member.number]
    for at in SHARES:
        for name in LOGGED:
            rows += [row for row in _logged(curve, name, at, steps) if row["value"] is not None]
    nearest = [(at, _nearest(curve, information.MI, at, steps)) for at in SHARES]
    rows += information.kept([(at, row) for at, row in nearest if row is not None], mine)
    have: set[tuple[Any, Any]] = {(row["metric"], row["at"]) for row in rows}
    for column in study.table.columns:
        if "/" in column.score and (column.score, column.at) not in have:
            have.add((column.score, column.at))
            rows += _logged(curve, column.score, column.at, steps)
    return _laid_out(study, member, [row | training for row in rows])


def whole(study: Study, number: int) -> bool:
    """Whether each member of a program has all scores that the study asks for, or diverged."""
    folder, step = study.folder(number), study.programs[number].config.steps
    scores = _final(folder, step, [])
    members = set(range(len(study.programs[number].members))) - folder.diverged(step)
    return all(before.scored([r for r in scores if r["member"] == m], study) for m in members)


def _given(study: Study, given: Given, member: Member) -> list[Row]:
    """The rows of a member that was trained before, with this table's lines and columns."""
    return _laid_out(study, member, before.serving(given, study, member.setting))


def _laid_out(study: Study, member: Member, rows: Sequence[Row]) -> list[Row]:
    """Rows of a member in the terms of a study's table."""
    about = {
        "table": study.name,
        "preset": study.preset,
        "line": member.line.label,
        "config": member.line.config,
        "changes": dict(member.line.changes),
        "seed": member.seed,
        "setting": member.setting,
    }
    late = dict.fromkeys(LATE)
    return [late | row | about | _column(study.table.columns, member, row) for row in rows]


def _column(columns: Sequence[Column], member: Member, row: Mapping[str, Any]) -> Row:
    """The column of a row, with what is published there."""
    column = next((c for c in columns if _place(c) == _place_of(row)), None)
    label = None if column is None else column.label
    published = member.line.published.get(label or "", Published(math.nan))
    known = math.isfinite(published.mean)
    return {
        "column": label,
        "published": published.mean if known else None,
        "published_std": published.std,
    }


def _place(column: Column) -> tuple[str, int, float | None]:
    return column.score, column.layer, column.at if "/" in column.score else None


def _place_of(row: Mapping[str, Any]) -> tuple[str, int, float | None]:
    return row["metric"], row["layer"], row["at"]


def _logged(logged: Sequence[Row], name: str, at: float, steps: int) -> list[Row]:
    """What was logged nearest to a share of training: a row a layer.

    Where training was not logged as far as that, one row without a value.
    """
    common = {"metric": name, "at": at, "protocol": "training", "low": None, "high": None}
    row = _nearest(logged, name, at, steps)
    if row is None:
        return [common | {"step": round(at * steps), "layer": 0, "value": None}]
    values = row[name] if isinstance(row[name], list) else [row[name]]
    return [
        common | {"step": row["step"], "layer": layer, "value": _rounded(value)}
        for layer, value in enumerate(values)
    ]


def _nearest(logged: Sequence[Row], name: str, at: float, steps: int) -> Row | None:
    """The row with a key nearest to a share of training, of two alike the later.

    None where it was not logged as far as that.
    """
    there = [row for row in logged if row.get(name) is not None]
    if not any(row["step"] >= at * steps for row in there):
        return None
    return min(there, key=lambda row: (abs(row["step"] - at * steps), -row["step"]))


def _rounded(value: Any) -> float | None:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, int | float) else None
