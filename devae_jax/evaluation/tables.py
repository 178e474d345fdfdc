"""Many runs in one table: methods down, scores across, mean and deviation."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.names import printable, unknown

Row = Mapping[str, Any]


def by_method(
    rows: Iterable[Row], metrics: Sequence[str], layer: int = 0, exact: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """method -> metric -> values of its runs [R], of one latent layer's mean codes.

    The newest step of each run counts. Runs of one method that differ in more than their seed,
    in data or hyperparameters, are lines of their own, named by what differs.

    Args:
      exact: of the scores of the protocol "exact", else of all others, as they were published.

    Raises:
      ValueError: no row has this metric, this layer, or this protocol.
    """
    rows = [row for row in rows if row["representation"] == "mean"]
    _check(rows, metrics, layer, exact)
    newest: dict[tuple, Row] = {}
    shared: dict[str, frozenset] = {}  # method -> the settings of all its runs
    for row in rows:
        wanted = (row["layer"], row["protocol"] == "exact") == (layer, exact)
        if wanted and row["metric"] in metrics and row["value"] is not None:
            method, settings = row["method"], _settings(row)
            shared[method] = shared.get(method, frozenset(settings)) & frozenset(settings)
            key = (method, row["metric"], settings, row["run"], row["member"], row["seed"])
            if key not in newest or row["step"] >= newest[key]["step"]:
                newest[key] = row
    table: dict[str, dict[str, list[float]]] = {}
    for (method, metric, settings, *_), row in newest.items():
        differing = [f"{k.split('.')[-1]}={v}" for k, v in settings if (k, v) not in shared[method]]
        line = ", ".join([method, *differing])
        table.setdefault(line, {name: [] for name in metrics})[metric].append(row["value"])
    return {
        method: {name: np.asarray(values) for name, values in scores.items()}
        for method, scores in table.items()
    }


def _check(rows: Sequence[Row], metrics: Sequence[str], layer: int, exact: bool) -> None:
    """Raises ValueError, with what there is, for a choice that no row has."""
    measured = sorted({row["metric"] for row in rows})
    for name in metrics:
        if name not in measured:
            raise unknown("metric", name, measured)
    rows = [row for row in rows if row["metric"] in metrics]
    layers = sorted({row["layer"] for row in rows})
    if layer not in layers:
        raise unknown("layer", layer, map(str, layers))
    protocols = {"exact" if row["protocol"] == "exact" else "dlib" for row in rows}
    protocol = "exact" if exact else "dlib"
    if protocol not in protocols:
        raise ValueError(
            f"got protocol={protocol!r}, in which no run was scored on {', '.join(metrics)}, "
            f"expected {' or '.join(protocols)}; take that, or score the runs again"
        )


def _settings(row: Row) -> tuple[tuple[str, str], ...]:
    """Settings and data as sorted ("model.latent_dim", "10") pairs."""

    def flat(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, Mapping):
            for key, value in node.items():
                yield from flat(value, f"{path}.{key}" if path else key)
        else:
            yield path, json.dumps(node)

    return tuple(sorted([*flat(row["settings"], ""), *flat(row["data"], "data")]))


def markdown(table: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """A table of mean ± standard deviation over runs, in the order given."""
    metrics = list(next(iter(table.values()), {}))
    lines = [
        "| method | runs | " + " | ".join(metrics) + " |",
        "|---" * (len(metrics) + 2) + "|",
    ]
    for method, scores in table.items():
        runs = max(len(values) for values in scores.values())
        name = printable(method).replace("|", "\\|")
        lines.append(f"| {name} | {runs} | " + " | ".join(map(_cell, scores.values())) + " |")
    return "\n".join(lines)


def _cell(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"
