"""Scores as rows: their interval over seeds, the terminal table, arrays over the layers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.metrics.registry import Metric
from devae_jax.names import printable

Row = dict[str, Any]
COMMON = ("protocol", "num_samples", "bins", "model")  # of a result, in all of its rows
# Details of which figures are drawn: their name beside the scores -> where they are in the rows.
DETAILS = {"mi": ("mig", "mi"), "kl_per_latent": ("kl", "per_latent")}
_ENTRIES = 20_000  # of the largest array that is written


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the mean by Student's t; (None, None) for one value, or infinite ones."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None, None
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def make_rows(
    label: Mapping[str, Any],
    metric: Metric,
    results: Sequence[Mapping[str, Any]],
    bounds: Mapping[str, Mapping[str, Any]],
) -> list[Row]:
    """One row a score of a metric, from its results, one an evaluation seed.

    The first result's arrays are added, each to the row of the score that declares it, the rest
    to the first.

    Args:
      label: what is common to the rows.
      bounds: results of the calibrating codes, {"floor": ..., "ceiling": ...}.
    """
    first = results[0]
    common = {key: first[key] for key in COMMON if key in first}
    rows: dict[str, Row] = {}
    owner: dict[str, str] = {}
    for score in metric.scores:
        values = [result[score.key] for result in results]
        low, high = interval(values) if None not in values else (None, None)
        rows[score.name] = {
            **label,
            "metric": score.name,
            **common,
            "value": None if None in values else float(np.mean(values)),
            "low": low,
            "high": high,
            "values": values,
            "floor": bounds.get("floor", {}).get(score.key),
            "ceiling": bounds.get("ceiling", {}).get(score.key),
            "better": score.better,
            "range": list(score.range),
            "unit": score.unit,
        }
        owner |= dict.fromkeys(score.details, score.name)
    scalars = {score.key for score in metric.scores}
    for key, value in first.items():
        if key not in scalars and key not in COMMON:
            rows[owner.get(key, metric.scores[0].name)].setdefault(key, value)
    return list(rows.values())


def undefined(label: Mapping[str, Any], metric: Metric, protocol: str, note: str) -> list[Row]:
    """Rows without a value, of scores that are not defined for a code or data set, and why."""
    result = dict.fromkeys(score.key for score in metric.scores) | {"protocol": protocol}
    return make_rows({**label, "note": note}, metric, [result], {})


def by_score(rows: Iterable[Row]) -> dict[str, np.ndarray]:
    """{score: [K]} over the layers, ascending, and the arrays of DETAILS, [K, ...].

    The rows are of one representation. What is undefined is NaN; of a score in two protocols
    that which is not "exact" counts.
    """
    found: dict[str, dict[int, Row]] = {}
    for row in sorted(rows, key=lambda row: row["protocol"] != "exact"):
        found.setdefault(row["metric"], {})[row["layer"]] = row
    arrays = {name: _stacked(layers, "value") for name, layers in found.items()}
    for name, (score, key) in DETAILS.items():
        if any(key in row for row in found.get(score, {}).values()):
            arrays[name] = _stacked(found[score], key)
    return arrays


def _stacked(layers: Mapping[int, Row], key: str) -> np.ndarray:
    """row[key] of all layers; NaN for null, and where there is none."""
    arrays = {layer: np.asarray(row.get(key), np.float64) for layer, row in layers.items()}
    shape = max((array.shape for array in arrays.values()), key=len)
    return np.stack([np.broadcast_to(arrays[layer], shape) for layer in sorted(arrays)])


def compact(rows: Iterable[Row]) -> list[Row]:
    """The rows as they are written: without arrays of more than 20,000 entries."""
    return [{k: v for k, v in row.items() if np.size(v) <= _ENTRIES} for row in rows]


def table(rows: Sequence[Row]) -> str:
    """Rows as text: a line a score, a column a layer, floor and ceiling beside.

    The bar shows where the first layer stands between floor and ceiling.
    """
    blocks = []
    for representation in dict.fromkeys(row["representation"] for row in rows):
        part = [row for row in rows if row["representation"] == representation]
        layers = sorted({row["layer"] for row in part})
        heads = ["metric", "protocol", *(f"layer {layer}" for layer in layers)]
        lines = [[*heads, "floor", "ceiling", "", ""]]
        for metric, protocol in dict.fromkeys((row["metric"], row["protocol"]) for row in part):
            found = {
                row["layer"]: row
                for row in part
                if (row["metric"], row["protocol"]) == (metric, protocol)
            }
            first = next(iter(found.values()))
            cells = [_with_interval(found.get(layer, {})) for layer in layers]
            bounds = [_number(first.get(bound)) for bound in ("floor", "ceiling")]
            lower = "less is better" if first.get("better") == "lower" else ""
            note = first.get("note") or ", ".join(filter(None, [first.get("unit"), lower]))
            words = (printable(str(word)) for word in (metric, first["protocol"]))
            lines.append([*words, *cells, *bounds, _bar(first), printable(note)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(
                cell.ljust(width) if i < 2 or i >= len(line) - 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(len(line) for line in text)
        dim = part[0].get("latent_dim", "?")
        blocks.append("\n".join([f"{representation} codes, {dim} latents", rule, *text, rule]))
    return "\n\n".join(blocks)


def _number(value: Any) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"


def _with_interval(row: Row) -> str:
    text = _number(row.get("value"))
    if row.get("low") is not None:
        text += f" ±{(row['high'] - row['low']) / 2:.3f}"
    return text


def _bar(row: Row, width: int = 10) -> str:
    """Empty where floor and ceiling are too close to tell anything."""
    ends = [row.get(key) for key in ("floor", "ceiling", "value")]
    up = {"higher": 1, "lower": -1}.get(str(row.get("better")), 0)
    floor, ceiling, value = (np.nan if end is None else float(end) for end in ends)
    if not up * (ceiling - floor) > 0.05 or np.isnan(value):
        return ""
    part = min(max((value - floor) / (ceiling - floor), 0.0), 1.0)
    return ("█" * round(part * width)).ljust(width, "·")


def sifted(
    items: Iterable[Any], checked: Callable[[Any], Row]
) -> tuple[list[Row], list[tuple[str, str]]]:
    """What `checked` makes of the items that it takes; of others (which, why), in words.

    Args:
      checked: raises ValueError for an item that is not what it should be.
    """
    whole: list[Row] = []
    skipped: dict[str, list[int]] = {}  # why: which
    for i, item in enumerate(items):
        try:
            whole.append(checked(item))
        except ValueError as error:
            skipped.setdefault(str(error), []).append(i + 1)
    return whole, [
        (f"row {which[0]}" if len(which) == 1 else f"{len(which)} rows from {which[0]} on", why)
        for why, which in skipped.items()
    ]
