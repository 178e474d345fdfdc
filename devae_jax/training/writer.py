"""Where the numbers of a run go: metrics.jsonl and TensorBoard event files.

`metrics.jsonl` holds nothing that depends on the clock, so that an interrupted and
resumed run leaves the same file, byte for byte, as one that never stopped.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.files import jsonable, read_rows, storing, write_text
from devae_jax.training.sinks import Sink

FLUSH = 30.0  # seconds that TensorBoard may lag behind
FULL_ROWS = 10_000  # rows in an event file until every second is left out


class Writer:
    """Appends rows of metrics to a run's files, from `step` on: later rows are cut off.

    rows: the file of JSON lines
    events: the folder of TensorBoard's event files, None for none
    members: of a population, the numbers in which each differs, written into its rows
    settings: of the run, shown by TensorBoard's HParams; sinks: take the numbers of every row

    Raises StorageError, from every method, for a disk that is full, gone or read-only.
    """

    def __init__(
        self,
        rows: str | Path,
        events: str | Path | None = None,
        *,
        step: int = 0,
        members: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
        sinks: Sequence[Sink] = (),
    ):
        self._path, self._members = Path(rows), members
        kept = [row for row in read_rows(rows) if row["step"] <= step]
        write_text(rows, "".join(json.dumps(row) + "\n" for row in kept))
        with storing(rows):
            self._file = self._path.open("a")
        self._events = None if events is None else Events(Path(events), step, settings or {})
        self._sinks = sinks

    def write(self, step: int, row: Mapping[str, Any], also: Mapping[str, Any] | None = None):
        """One row, or one for each member if values are [M, ...]; arrays become lists.

        also: what depends on the clock, to TensorBoard alone
        """
        rows: list[tuple[dict[str, Any], Mapping[str, Any]]] = [({}, row)]
        if self._members:
            rows = [
                (
                    {"member": i, **numbers},
                    {name: value[i] for name, value in row.items()},
                )
                for i, numbers in enumerate(self._members)
            ]
        curves: dict[str, Any] = dict(also or {})
        with storing(self._path):
            self._path.stat()  # a file whose folder vanished takes rows and loses them
            for label, part in rows:
                logged = {"step": step} | jsonable(label) | jsonable(part)
                self._file.write(json.dumps(logged) + "\n")
                prefix = f"member_{label['member']}/" if label else ""
                curves |= {f"{prefix}{name}": value for name, value in part.items()}
            self._file.flush()
        if self._events is not None:
            self._events.write(step, curves)
        for sink in self._sinks:
            sink.write(step, numbers_of(curves))

    def close(self) -> None:
        try:
            with storing(self._path):
                self._file.close()
        finally:
            for sink in self._sinks:
                sink.close()
            if self._events is not None:
                self._events.close()


class Events:
    """A TensorBoard event file, written by the caller's own thread, whose errors it sees.

    Its size is bounded by the logarithm of the number of rows: 10,000 are written, then 10,000
    of every second one, of every fourth one, and so on.
    """

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any] | None = None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder = folder
        self._seen = self._written = 0
        self._flushed = time.monotonic()
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # The step tells files of one second apart.
            self._file = EventsWriter(str(folder / "events"), f".{step}")
            start = SessionLog(status=SessionLog.START)  # hides what an earlier start wrote later
            self._file.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))
            for summary in _hparams(settings) if settings else ():
                self._file.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._file.flush()

    def write(self, step: int, row: Mapping[str, Any]) -> None:
        """One curve an entry, or one a number of an array [K]; others are left out."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        self._seen += 1
        if self._seen % 2 ** (self._written // FULL_ROWS):
            return
        self._written += 1
        values = [
            Summary.Value(tag=tag, simple_value=item) for tag, item in numbers_of(row).items()
        ]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        with storing(self._folder):
            self._file.write_event(event)
            if time.monotonic() - self._flushed > FLUSH:
                self._file.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        with storing(self._folder):
            self._file.close()


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row by tag: "loss", and "kl/0" of an array [K]; others left out."""
    return {
        f"{name}/{i}" if array.ndim else name: float(item)
        for name, value in row.items()
        if (array := np.asarray(value)).dtype.kind in "fiu" and array.ndim < 2
        for i, item in enumerate(array.reshape(-1))
        if np.isfinite(item)
    }


SHOWN = ("loss", "eval/mig/0", "eval/reconstruction_sampled/0", "eval/kl/0")  # beside HParams


def _hparams(settings: Mapping[str, Any]) -> Sequence[Any]:
    """The summaries that TensorBoard's HParams reads."""
    from tensorboardX.summary import hparams

    plain = {
        key: value if isinstance(value, str | bool | int | float) else json.dumps(value)
        for key, value in settings.items()
        if value is not None
    }
    # tensorboardX calls True a string; as text it is read by every release.
    plain = {k: str(v) if isinstance(v, bool) else v for k, v in plain.items()}
    return hparams(plain, dict.fromkeys(SHOWN))[:2]


def write_pictures(folder: Path, step: int, pictures: Mapping[str, bytes]) -> None:
    """PNG files as images of a run's TensorBoard, tag -> content, in an event file of their own.

    Raises StorageError for a disk that is full, gone or read-only.
    """
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = []
    for tag, content in pictures.items():
        width, height = (int.from_bytes(content[i : i + 4]) for i in (16, 20))  # PNG's header
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=content
        )
        values.append(Summary.Value(tag=tag, image=image))
    with storing(folder):
        file = EventsWriter(str(folder / "events"), f".{step}.pictures")
        summary = Summary(value=values)
        file.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        file.close()
