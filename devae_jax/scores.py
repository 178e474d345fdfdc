"""Scores as rows: their interval over seeds, the terminal table, scores.json."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.train.writer import jsonable, write_text

Row = dict[str, Any]
_ENTRIES = 20_000  # of the largest array kept in a row
_TOLD = ("protocol", "num_samples", "bins", "model")


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the mean by Student's t; (None, None) for one value, or infinite ones."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None, None
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def make_rows(
    label: Mapping[str, Any],
    names: Mapping[str, str],
    results: Sequence[Mapping[str, Any]],
    *,
    lower: Collection[str] = (),
    facts: Collection[str] = (),
    details: Mapping[str, Sequence[str]] | None = None,
    bounds: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Row]:
    """One row a score from one metric's results, one an evaluation seed.

    Args:
      label: what is common to the rows.
      names: the rows' metric names, and where each score is in a result.
      lower, facts: names that are better low, and that are neither good nor bad.
      details: name -> keys of a result that belong to its row; the first row has the rest.
      bounds: results of the calibrating codes, {"floor": ..., "ceiling": ...}.
    """
    first, bounds = results[0], bounds or {}
    told = {"protocol": "dlib"} | {key: first[key] for key in _TOLD if key in first}
    rows = []
    for name, key in names.items():
        values = [result[key] for result in results]
        low, high = interval(values) if None not in values else (None, None)
        row = {
            **label,
            "metric": name,
            **told,
            "value": None if None in values else float(np.mean(values)),
            "low": low,
            "high": high,
            "values": values,
            "floor": bounds["floor"][key] if bounds else None,
            "ceiling": bounds["ceiling"][key] if bounds else None,
            "better": None if name in facts else "lower" if name in lower else "higher",
        }
        rows.append(row)
    owner = {key: name for name, keys in (details or {}).items() for key in keys}
    by_name = {row["metric"]: row for row in rows}
    for key, value in first.items():
        if key not in (*names.values(), *_TOLD) and np.size(value) <= _ENTRIES:
            by_name[owner.get(key, rows[0]["metric"])].setdefault(key, value)
    return rows


def write_scores(path: str | Path, rows: Sequence[Row]) -> None:
    """Rows as JSON, atomically; NaN becomes null."""
    write_text(path, json.dumps(jsonable(list(rows)), indent=1) + "\n")


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
            note = first.get("note") or ("less is better" * (first.get("better") == "lower"))
            lines.append([metric, first["protocol"], *cells, *bounds, _bar(first), note])
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
