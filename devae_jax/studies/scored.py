"""Scored runs in folders, of tables or of none, as the lines, columns and rows of one table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.names import unknown
from devae_jax.runs import study
from devae_jax.runs.study import Known
from devae_jax.studies.analysis import COST, GAIN
from devae_jax.studies.table import Column, Line, Table
from devae_jax.viz.members import NO_PAGE, Member, scores_of

Row = dict[str, Any]
COLUMNS = (GAIN, COST, "kl")


def as_table(
    folders: Iterable[str | Path], known: Known, metrics: Sequence[str] = (), *, title: str = ""
) -> tuple[Table, list[Row], list[str]]:
    """The runs in folders as a table whose lines are their settings, and its rows.

    A run has the label of its table, or that of a study's page, its method with what differs
    between runs of it, in a group for each data set: "toy: devae, latent_dim=4". The keys in which
    lines of a method differ are their changes. Scores are those of the first latent layer's mean
    codes, after the last step.

    Args:
      known: what tables know of the runs, see `shown.known`.
      metrics: the columns; default those of MIG, reconstruction error and KL that were measured.

    Returns the table, rows as `analysis.markdown` takes them, and what was left out, in words.

    Raises:
      ValueError: no run is trained and scored, or none with one of these metrics.
    """
    found, missing = study.read(folders, Path.cwd(), labels=known.labels)
    found = study.in_order([*found, *known.members], known.labels)
    missing = [*known.missing, *missing]
    members: dict[tuple[str, Any], Member] = {}  # by line and seed
    tabled = {label for label, _ in known.labels.values()}
    for each in found:
        line = each.label if each.label in tabled else f"{each.data}: {each.label}"
        if not each.complete:
            lacks = [text for text in each.lacks if text != NO_PAGE]
            missing.append(f"{each.name} left out: {', '.join(lacks)}")
        elif (line, each.seed) in members:
            twin = members[line, each.seed].name
            missing.append(f"{each.name} left out: the same setting and seed as {twin}")
        else:
            members[line, each.seed] = each
    measured = scores_of(list(members.values()))
    for name in metrics:
        if measured and name not in measured:
            raise unknown("metric", name, measured)
    if not measured:
        raise ValueError(
            f"got no run that is trained and scored ({'; '.join(missing[:3]) or 'none at all'}), "
            "expected some with scores.json; fix --runs"
        )
    shown = metrics or [name for name in COLUMNS if name in measured] or measured
    rows = [
        {"line": line, "seed": seed, "at": None, "layer": 0, "metric": score}
        | {"value": each.value(score), "column": score if score in shown else None}
        for (line, seed), each in members.items()
        for score in measured
        if np.isfinite(each.value(score))
    ]
    columns = [Column(name, name) for name in shown]
    return Table(title, columns, _lines(members), presets={}), rows, missing


def _lines(members: dict[tuple[str, Any], Member]) -> list[Line]:
    """The lines of some members, their changes the keys in which those of one method differ."""
    methods: dict[str, dict[str, Member]] = {}  # method -> line -> its first member
    for (line, _), each in members.items():
        method = str(each.scores[0].get("method", each.label))
        methods.setdefault(method, {}).setdefault(line, each)
    keys = {
        method: study.differing([each.settings for each in lines.values()])
        for method, lines in methods.items()
    }
    found = {
        line: Line(line, method, {k: each.settings[k] for k in keys[method] if k in each.settings})
        for method, lines in methods.items()
        for line, each in lines.items()
    }
    return [found[line] for line in dict.fromkeys(line for line, _ in members)]
