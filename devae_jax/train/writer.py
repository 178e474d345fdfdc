"""Where the numbers of a run go: metrics.jsonl and TensorBoard event files.

`metrics.jsonl` holds nothing that depends on the clock, so that an interrupted and
resumed run leaves the same file, byte for byte, as one that never stopped.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
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


def write_text(path: str | Path, text: str) -> None:
    """Atomically: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a line cut short by a crash is left out."""
    rows = []
    for line in Path(path).read_text().splitlines() if Path(path).exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class Writer:
    """Appends rows of metrics to a run's files, from `step` on: later rows are cut off.

    members: of a population, the numbers in which each differs, written into its rows
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        step: int = 0,
        tensorboard: bool = True,
        members: Sequence[Mapping[str, Any]] = (),
    ):
        self._members = members
        self._path = Path(workdir) / "metrics.jsonl"
        kept = [row for row in read_rows(self._path) if row["step"] <= step]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = self._path.open("a")
        self._events = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(Path(workdir) / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, row: Mapping[str, Any]) -> None:
        """One row, or one for each member if values are [M, ...]; arrays become lists."""
        rows: list[tuple[dict[str, Any], Mapping[str, Any]]] = [({}, row)]
        if self._members:
            rows = [
                (
                    {"member": i, **numbers},
                    {name: value[i] for name, value in row.items()},
                )
                for i, numbers in enumerate(self._members)
            ]
        for label, part in rows:
            logged = {"step": step} | jsonable(label) | jsonable(part)
            self._file.write(json.dumps(logged) + "\n")
            prefix = f"member_{label['member']}/" if label else ""
            self.events(step, {f"{prefix}{name}": value for name, value in part.items()})
        self._file.flush()

    def events(self, step: int, row: Mapping[str, Any]) -> None:
        """To TensorBoard alone, one curve an entry; also for what depends on the clock."""
        if self._events is None:
            return
        for name, value in row.items():
            array = np.asarray(value)
            if array.dtype.kind not in "fiu" or array.ndim > 1:
                continue
            for i, item in enumerate(array.reshape(-1)):
                if np.isfinite(item):
                    self._events.add_scalar(f"{name}/{i}" if array.ndim else name, item, step)

    def close(self) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()
