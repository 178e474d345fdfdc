"""Where the numbers of a run go: metrics.jsonl and TensorBoard event files.

`metrics.jsonl` holds nothing that depends on the clock, so that an interrupted and
resumed run leaves the same file, byte for byte, as one that never stopped.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.files import jsonable, read_rows, write_text


class Writer:
    """Appends rows of metrics to a run's files, from `step` on: later rows are cut off.

    rows: the file of JSON lines
    events: the folder of TensorBoard's event files, None for none
    members: of a population, the numbers in which each differs, written into its rows
    """

    def __init__(
        self,
        rows: str | Path,
        events: str | Path | None = None,
        *,
        step: int = 0,
        members: Sequence[Mapping[str, Any]] = (),
    ):
        self._members = members
        kept = [row for row in read_rows(rows) if row["step"] <= step]
        write_text(rows, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = Path(rows).open("a")  # noqa: SIM115  # for as long as the run lasts
        self._events = None
        if events is not None:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(events), purge_step=step + 1)

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
