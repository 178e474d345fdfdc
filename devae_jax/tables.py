"""Rows of scores of many runs as one table: methods down, scores across, mean and deviation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def by_method(
    rows: Iterable[Row], metrics: Sequence[str], layer: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """method -> metric -> values of its runs [R], of one latent layer's mean codes."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        wanted = row["layer"] == layer and row["representation"] == "mean"
        if wanted and row["metric"] in metrics and row["value"] is not None:
            scores = table.setdefault(row["method"], {name: [] for name in metrics})
            scores[row["metric"]].append(row["value"])
    return {
        method: {name: np.asarray(values) for name, values in scores.items()}
        for method, scores in table.items()
    }


def markdown(table: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """A table of mean ± standard deviation over runs, in the order given."""
    metrics = list(next(iter(table.values()), {}))
    lines = [
        "| method | runs | " + " | ".join(metrics) + " |",
        "|---" * (len(metrics) + 2) + "|",
    ]
    for method, scores in table.items():
        runs = max(len(values) for values in scores.values())
        lines.append(f"| {method} | {runs} | " + " | ".join(map(_cell, scores.values())) + " |")
    return "\n".join(lines)


def _cell(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"
