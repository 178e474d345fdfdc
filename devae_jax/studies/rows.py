"""What of a study is there, as rows: one a member and score, and what is missing."""

import json
import math
from collections.abc import Sequence
from typing import Any

from devae_jax.files import jsonable, write_text
from devae_jax.runs.folder import Folder
from devae_jax.runs.sweep import Sweep
from devae_jax.studies.members import Member, Study
from devae_jax.studies.table import Column, Published

Row = dict[str, Any]


def collect(study: Study) -> tuple[list[Row], list[str]]:
    """All rows of the members that are finished, and, in words, what is not there.

    A row has table, preset, line, column (None where the table has none for it), config, changes,
    seed, program, member, step, metric, layer, protocol, value, low, high, published,
    published_std, seconds (of training and scoring, a member's share) and device.
    """
    rows: list[Row] = []
    missing: list[str] = []
    sweep = Sweep(study.path, study.programs)
    for number, program in enumerate(study.programs):
        folder, members = study.folder(number), study.of_program(number)
        record = sweep.record(number)
        share = record.seconds / len(members) if record.trained else None
        about = {"seconds": share, "device": record.device or None}
        try:
            scores = folder.scores()
        except ValueError as error:
            scores = []
            missing.append(str(error))
        for member in members:
            found = _of_member(study, folder, member, scores)
            if not found:
                missing.append(f"{member.line.label}, seed {member.seed} ({program.name})")
            rows += [row | about for row in found]
    return rows, missing


def write(study: Study, rows: Sequence[Row]) -> None:
    """Replaces rows.jsonl of the study's folder, in one step."""
    text = "".join(json.dumps(jsonable(row)) + "\n" for row in rows)
    write_text(study.path / "rows.jsonl", text)


def _of_member(study: Study, folder: Folder, member: Member, scores: Sequence[Row]) -> list[Row]:
    """The rows of one member, none if it is not scored at its last step."""
    step = member.config.steps
    mine = [
        row
        for row in scores
        if (row["step"], row["member"], row["representation"]) == (step, member.number, "mean")
        and "images" not in row
    ]
    if not mine:
        return []
    common = {
        "table": study.name,
        "preset": study.preset,
        "line": member.line.label,
        "config": member.line.config,
        "changes": dict(member.line.changes),
        "seed": member.seed,
        "program": study.programs[member.program].name,
        "member": member.number,
    }
    columns = study.table.columns
    rows = []
    for row in mine:
        measured = row["metric"], row["layer"]
        column = next((c for c in columns if (c.score, c.layer) == measured), None)
        kept = {key: row.get(key) for key in ("step", "metric", "layer", "protocol")}
        values = {key: row.get(key) for key in ("value", "low", "high")}
        rows.append(common | _column(member, column) | kept | values)
    logged = folder.metrics(member.number)
    for column in columns:
        if "/" in column.score:
            found = _logged(logged, column, step)
            about = {"metric": column.score, "layer": column.layer, "protocol": "training"}
            values = found | {"low": None, "high": None}
            rows.append(common | _column(member, column) | about | values)
    return rows


def _column(member: Member, column: Column | None) -> Row:
    label = None if column is None else column.label
    published = member.line.published.get(label or "", Published(math.nan))
    std = published.std
    known = math.isfinite(published.mean)
    return {
        "column": label,
        "published": published.mean if known else None,
        "published_std": std,
    }


def _logged(logged: Sequence[Row], column: Column, steps: int) -> Row:
    """The first row with the score at or after its time, {"step", "value"}."""
    for row in logged:
        if row["step"] >= column.at * steps and row.get(column.score) is not None:
            value = row[column.score]
            if isinstance(value, list):
                value = value[column.layer] if column.layer < len(value) else None
            return {"step": row["step"], "value": value}
    return {"step": steps, "value": None}
