"""Reading rows of metrics and scores: dictionaries as they lie in JSON lines, gaps included."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def lookup(row: Row, key: str) -> Any:
    """row[key], else row["eval/key"], else None."""
    return row.get(key, row.get(f"eval/{key}"))


def as_float(value: Any) -> np.ndarray | None:
    """A number or nested list as a float array with None as NaN; None if it is neither."""
    try:
        return None if value is None else np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None


def series(rows: Iterable[Row], key: str) -> tuple[np.ndarray, np.ndarray]:
    """The history of `key`: steps [T], ascending, and values [T, ...] (NaN where not measured).

    Rows without a step or a value are skipped, and so are those whose shape is not the
    commonest; of two rows with one step the later counts.
    """
    found = {}
    for row in rows:
        step, value = as_float(row.get("step")), as_float(lookup(row, key))
        if step is not None and value is not None and np.isfinite(step):
            found[float(step)] = value
    if not found:
        return np.zeros(0), np.zeros(0)
    ((shape, _),) = Counter(value.shape for value in found.values()).most_common(1)
    kept = sorted(step for step, value in found.items() if value.shape == shape)
    return np.array(kept), np.stack([found[step] for step in kept])


def number_of(row: Row, key: str) -> float:
    """row[key] as a float, NaN when missing or not a single number."""
    value = as_float(row.get(key))
    return float(value) if value is not None and value.ndim == 0 else float("nan")


def factors_of(rows: Iterable[Row], count: int) -> list[str]:
    """The names of `count` factors, which some row has; "factor 0" and so on where none does."""
    named = (row.get("factors") for row in rows)
    right = (names for names in named if isinstance(names, list) and len(names) == count)
    return list(map(str, next(right, [f"factor {i}" for i in range(count)])))
