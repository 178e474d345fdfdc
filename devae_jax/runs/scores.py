"""What a row of scores.json, and a list in results.json, must be; reading the former."""

from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.files import parsed, readable

Row = dict[str, Any]
SCORE_KEYS = {"member", "step", "layer", "representation", "protocol", "metric", "value"}
KINDS: dict[str, Any] = {
    "metric": str,
    "protocol": str,
    "representation": str,
    "value": int | float | None,
    "images": str,
    "method": str,
    "settings": dict,
    "data": dict,
}
ARRAYS = ("mi", "per_latent")  # of which figures are drawn


def checked(row: Any, needed: Set[str] = SCORE_KEYS) -> Row:
    """A row that has what is `needed`, each of its kind.

    Raises:
      ValueError: it is something else; says what, in a few words.
    """
    if not isinstance(row, dict):
        raise ValueError("it is no row")
    if lacking := sorted(needed - row.keys()):
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for name, kinds in KINDS.items():
        if name in row and not isinstance(row[name], kinds):
            raise ValueError(f"its {name} is {str(row[name])[:40]!r}")
    for name in ("step", "layer", "member"):
        if type(row[name]) is not int and not (name == "member" and row[name] is None):
            raise ValueError(f"its {name} is {str(row[name])[:40]!r}")
    for name in ARRAYS:
        try:
            np.asarray(row.get(name), np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"its {name} is no array of numbers") from error
    return row


def are_members(value: Any) -> bool:
    """Whether it is a list of members, None for a run alone."""
    return isinstance(value, list) and all(m is None or type(m) is int for m in value)


def read(path: Path) -> list[Row]:
    """The rows of a file of scores, none if there is no file.

    Raises:
      ValueError: it is damaged, or another version of the library wrote it.
    """
    try:
        rows = parsed(path.read_text()) if path.exists() else []
        if not isinstance(rows, list):
            raise ValueError("something else than a list")
        for i, row in enumerate(rows):
            try:
                checked(row)
            except ValueError as error:
                raise ValueError(f"row {i + 1}: {error}") from error
    except (OSError, ValueError) as error:
        raise ValueError(
            f"got {error} reading {path}, expected a list of rows of scores; move the file away"
        ) from error
    return [readable(row, f"a row of {path}") for row in rows]
