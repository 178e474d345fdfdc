"""A study as a figure, from its rows: strips, curves over training, a trade-off, pictures."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from devae_jax.studies.analysis import COST, GAIN, aligned
from devae_jax.studies.members import Study
from devae_jax.studies.pictures import diffusion, traversals
from devae_jax.studies.rows import values_of
from devae_jax.studies.table import split
from devae_jax.viz.rows import number_of
from devae_jax.viz.save import Picture, save
from devae_jax.viz.strips import Runs, curves, strip_plots, trade_off
from devae_jax.viz.style import in_nats

Row = dict[str, Any]
SAME = 0.01  # between floors on machines that round differently; a figure shows no less


def write(path: str | os.PathLike, study: Study, rows: Sequence[Row]) -> bool:
    """Draws a table's rows to a PNG file; False, and no file, while there is nothing to draw.

    Raises:
      ValueError: the file's name does not end in .png.
      StorageError: it cannot be written.
    """
    picture = FIGURES[study.table.figure](study, rows)
    if picture is not None:
        save(path, picture)
    return picture is not None


def strips(study: Study, rows: Sequence[Row]) -> Picture | None:
    """A row of panels for each column: a panel for each group of lines, all on one scale.

    A line belongs to the group that its label says, "group: name". Without groups, a panel for
    each column. The score of a noise code and of a perfect one are drawn where they are known.
    """
    groups = list(dict.fromkeys(split(line.label)[0] for line in study.table.lines))
    panels: dict[str, dict[str, list[float]]] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for column in study.table.columns:
        found: dict[str, dict[str, list[float]]] = {group: {} for group in groups}
        for line in study.table.lines:
            group, name = split(line.label)
            found[group][name] = values_of(rows, line.label, column.label)
        if any(values for lines in found.values() for values in lines.values()):
            name = in_nats(column.label, column.score)
            for group in groups:
                title = ", ".join(filter(None, [name, group]))
                mine = [row for row in rows if _is_of(row, group, column.label)]
                panels[title] = found[group]
                bounds[title] = _bound(mine, "floor"), _bound(mine, "ceiling")
    if not panels:
        return None
    return strip_plots(panels, bounds, columns=max(len(groups), 2), share=len(groups) > 1)


def _is_of(row: Row, group: str, column: str) -> bool:
    return (split(row["line"])[0], row["column"]) == (group, column)


def _bound(rows: Sequence[Row], name: str) -> float:
    """The floor or ceiling of a panel's runs; NaN if none is known, or lines differ in theirs.

    They are those of a data set and a number of latents, in which lines of a table may differ.
    """
    found = [value for row in rows if np.isfinite(value := number_of(row, name))]
    return float(np.mean(found)) if found and np.ptp(found) < SAME else float("nan")


def over_training(study: Study, rows: Sequence[Row]) -> Picture | None:
    """A panel for each score that training logged and the table has, a thin line a run."""
    names = dict.fromkeys(column.score for column in study.table.columns)
    panels: dict[str, list[Runs]] = {}
    for name in names:
        for line in study.table.lines:
            for seed in dict.fromkeys(r["seed"] for r in rows if r["line"] == line.label):
                run = line.label, seed, name, 0
                mine = [
                    row
                    for row in rows
                    if (row["line"], row["seed"], row["metric"], row["layer"]) == run
                    and row["at"] is not None
                    and row["value"] is not None
                ]
                points = sorted({(row["step"], row["value"]) for row in mine})
                if points:
                    steps, values = np.array(points, float).T
                    panels.setdefault(name, []).append((line.label, steps, values))
    titled = {name.removeprefix("eval/"): found for name, found in panels.items()}
    return curves(titled) if panels else None


def against(study: Study, rows: Sequence[Row]) -> Picture | None:
    """MIG over the reconstruction error: a dot a run, and the runs that no other beats."""
    runs, scores = aligned(rows)
    if not {GAIN, COST} <= scores.keys():
        return None
    both = np.stack([scores[COST], scores[GAIN]], axis=1)
    points: dict[str, np.ndarray] = {}
    for line in study.table.lines:
        mine = both[[label == line.label for label, _ in runs]]
        whole = mine[np.isfinite(mine).all(axis=1)]
        if len(whole):
            points[line.label] = whole
    return trade_off(points) if points else None


FIGURES: dict[str, Callable[[Study, Sequence[Row]], Picture | None]] = {
    "strips": strips,
    "curves": over_training,
    "trade_off": against,
    "traversals": traversals,
    "diffusion": diffusion,
}
