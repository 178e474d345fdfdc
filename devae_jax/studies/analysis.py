"""What the rows of a study say beside its table: distributions, tests, correlations, the front.

`aligned` and `by_line` bring rows into the arrays that `statistics` and `selection` take.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.names import differing, printable, unknown
from devae_jax.studies import statistics
from devae_jax.studies.statistics import TESTS, Summary
from devae_jax.studies.table import Column, Line, Table, split

Row = Mapping[str, Any]
Run = tuple[str, int]  # a line's label, and a seed
GAIN, COST = "mig", "reconstruction_sampled"


def aligned(rows: Iterable[Row], layer: int = 0) -> tuple[list[Run], dict[str, np.ndarray]]:
    """The runs of some rows, and every score of theirs at the end of training.

    Args:
      layer: which latent layer's scores.

    Returns runs [R] in the order in which they come, and score -> values [R], NaN where a run
    lacks it.
    """
    found: dict[Run, dict[str, float]] = {}
    for row in rows:
        scores = found.setdefault((row["line"], row["seed"]), {})
        if (row["at"], row["layer"]) == (None, layer) and row["value"] is not None:
            scores[row["metric"]] = row["value"]
    names = dict.fromkeys(name for scores in found.values() for name in scores)
    return list(found), {
        name: np.array([scores.get(name, np.nan) for scores in found.values()]) for name in names
    }


def by_line(runs: Sequence[Run], values: Iterable[float]) -> dict[str, dict[int, float]]:
    """line -> seed -> value, as `statistics.paired` takes it; runs without a value are left out."""
    found: dict[str, dict[int, float]] = {}
    for (line, seed), value in zip(runs, values, strict=True):
        if np.isfinite(value):
            found.setdefault(line, {})[seed] = float(value)
    return found


def markdown(
    table: Table,
    rows: Sequence[Row],
    *,
    preset: str = "",
    against: str | None = None,
    test: str = "t",
) -> str:
    """All statistics of a table's rows, a section for each group of lines, as each data set.

    Args:
      preset: at which the runs were made, if at one.
      against: a line's label, or its end ("DeVAE" of "dSprites: DeVAE"), that others are tested
        against; None: every two lines are.
      test: of `statistics.TESTS`.

    Raises:
      ValueError: unknown test, or no line of that name.
    """
    if test not in TESTS:
        raise unknown("test", test, TESTS)
    names = [name for line in table.lines for name in (line.label, split(line.label)[1])]
    if against is not None and against not in names:
        raise unknown("line", against, names)
    lines = [f"## {table.title}: statistics" + (f", preset `{preset}`" if preset else "")]
    versions = {(row["line"], row["seed"]): row.get("version") for row in rows}
    lines += [f"\n{text}" for text in differing("library versions", versions.values())]
    for group in dict.fromkeys(split(line.label)[0] for line in table.lines):
        own = [line for line in table.lines if split(line.label)[0] == group]
        mine = [row for row in rows if row["line"] in {line.label for line in own}]
        if any(row["value"] is not None for row in mine):
            lines += ["", f"### {group}"] if group else []
            for part in (distributions, _tests(against, test), correlations, front, sensitivity):
                lines += ["", *found] if (found := part(table.columns, own, mine)) else []
    return "\n".join(lines)


Part = Callable[[Sequence[Column], Sequence[Line], Sequence[Row]], list[str]]


def distributions(
    columns: Sequence[Column], lines: Sequence[Line], rows: Sequence[Row]
) -> list[str]:
    """Each score of each line."""
    found = ["Distributions over seeds.", ""]
    head = ("setting", "score", "runs", "mean ± std", "95 % interval", "median", "quartiles")
    found += head_of(head)
    for line in lines:
        for column in columns:
            if values := list(_column(rows, line, column).values()):
                told = statistics.summary(values)
                cells = [str(told.runs), _mean(told), _between(told.low, told.high)]
                cells += [f"{told.median:.3g}", _between(*told.quartiles)]
                found.append(line_of(split(line.label)[1], column.label, *cells))
    return found


def _tests(against: str | None, test: str) -> Part:
    """The part with paired tests."""

    def tests(columns: Sequence[Column], lines: Sequence[Line], rows: Sequence[Row]) -> list[str]:
        name = {"t": "Student's paired test", "wilcoxon": "Wilcoxon's signed-rank test"}[test]
        head = ("score", "first", "second", "seeds", "first less second", "95 % interval")
        body, alone = [], 0
        for column in columns:
            scores = {line.label: _column(rows, line, column) for line in lines}
            pairs = [
                pair
                for pair in itertools.combinations([n for n in scores if scores[n]], 2)
                if against is None or against in (*pair, *(split(each)[1] for each in pair))
            ]
            enough = [(a, b) for a, b in pairs if len(scores[a].keys() & scores[b].keys()) > 1]
            alone += len(pairs) - len(enough)
            for each in statistics.paired(scores, test=test, pairs=enough) if enough else ():
                cells = [split(each.first)[1], split(each.second)[1], str(each.seeds)]
                cells += [f"{each.difference:.3g}", _between(each.low, each.high)]
                body.append(line_of(column.label, *cells, _p(each.p), _p(each.holm)))
        if not body:
            return []
        found = [f"{name} over shared seeds; p corrected by Holm for the pairs of a score.", ""]
        found += [*head_of((*head, "p", "corrected")), *body]
        if alone:
            found += ["", f"Left out: {alone} pairs that share fewer than two seeds."]
        return found

    return tests


def correlations(
    columns: Sequence[Column], lines: Sequence[Line], rows: Sequence[Row]
) -> list[str]:
    """Of every two scores over all runs, of the first latent layer."""
    runs, scores = aligned(rows)
    lists = {name: each.tolist() for name, each in scores.items()}
    names, matrix = statistics.rank_correlation(lists)
    if not np.isfinite(matrix).any():
        return []
    found = [f"Spearman's rank correlation over {len(runs)} runs, first latent layer.", ""]
    found += head_of(("", *names))
    for i, name in enumerate(names):
        cells = [f"{r:.2f}" if np.isfinite(r) else "–" for r in matrix[i, : i + 1]]
        found.append(line_of(name, *cells, *[""] * (len(names) - i - 1)))
    return found


def front(columns: Sequence[Column], lines: Sequence[Line], rows: Sequence[Row]) -> list[str]:
    """The runs that no other beats in MIG and reconstruction error."""
    runs, scores = aligned(rows)
    if not {GAIN, COST} <= scores.keys():
        return []
    kept = statistics.pareto(scores[GAIN].tolist(), scores[COST].tolist())
    found = ["Runs that no other beats in both MIG and reconstruction error.", ""]
    found += head_of(("setting", "seed", "MIG", "reconstruction error, nats"))
    for i in kept:
        (line, seed), gain, cost = runs[i], scores[GAIN][i], scores[COST][i]
        found.append(line_of(split(line)[1], str(seed), f"{gain:.3f}", f"{cost:.2f}"))
    return found if len(kept) else []


def sensitivity(columns: Sequence[Column], lines: Sequence[Line], rows: Sequence[Row]) -> list[str]:
    """How much of each score's variance lies between lines, and between values of what differs.

    A key counts where it differs between lines of one config.
    """
    head = ("over", "score", "share between", "mean ± std at each value")
    body = []
    for name, values_of in _axes(lines).items():
        for column in columns:
            values, scores = [], []
            for line, value in values_of:
                mine = list(_column(rows, line, column).values())
                values += [value] * len(mine)
                scores += mine
            if len(set(map(repr, values))) > 1 and len(scores) > len(set(map(repr, values))):
                told, share = statistics.sensitivity(values, scores)
                each = "; ".join(f"{value}: {_mean(summary)}" for value, summary in told)
                body.append(line_of(name, column.label, f"{share:.2f}", each))
    if not body:
        return []
    text = "Sensitivity: the share of a score's variance that lies between values, not seeds."
    return [text, "", *head_of(head), *body]


def _axes(lines: Sequence[Line]) -> dict[str, list[tuple[Line, Any]]]:
    """What lines differ in: (line, value) of the lines themselves, and of keys of one config."""
    axes: dict[str, list[tuple[Line, Any]]] = {"setting": [(x, split(x.label)[1]) for x in lines]}
    for config in dict.fromkeys(line.config for line in lines):
        alike = [line for line in lines if line.config == config]
        for key in dict.fromkeys(key for line in alike for key in line.changes):
            found = [(line, line.changes[key]) for line in alike if key in line.changes]
            values = {repr(value) for _, value in found}
            if 1 < len(values) < len(lines):
                axes[f"{key} of {config.strip(':,')}"] = found
    return axes


def _column(rows: Sequence[Row], line: Line, column: Column) -> dict[int, float]:
    """seed -> value of a line's runs in a column."""
    place = line.label, column.label
    mine = [row for row in rows if (row["line"], row["column"]) == place]
    return {row["seed"]: row["value"] for row in mine if row["value"] is not None}


def _mean(told: Summary) -> str:
    return f"{told.mean:.3g}" if told.std is None else f"{told.mean:.3g} ± {told.std:.2g}"


def _between(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3g} to {high:.3g}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


def head_of(cells: Sequence[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [line_of(*cells), "|---" * len(cells) + "|"]


def line_of(*cells: str) -> str:
    """A line of a Markdown table, which nothing in a cell can steer."""
    return "| " + " | ".join(printable(cell).replace("|", "\\|") for cell in cells) + " |"
