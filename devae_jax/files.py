"""Files: written whole or not at all, JSON without NaN, rows that survive a crash."""

import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:
    """Arrays as lists, and NaN (not measured) as null."""
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_bytes(path: str | Path, content: bytes) -> None:
    """Atomically: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """As `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, *, indent: int | None = None) -> None:
    """As `write_bytes`; NaN becomes null."""
    write_text(path, json.dumps(jsonable(value), indent=indent) + "\n")


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; a line cut short by a crash is left out."""
    rows = []
    for line in Path(path).read_text().splitlines() if Path(path).exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
