"""Where the numbers of a run go: metrics.jsonl and TensorBoard event files.

`metrics.jsonl` holds nothing that depends on the clock, so that an interrupted and
resumed run leaves the same file, byte for byte, as one that never stopped.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.files import jsonable, read_rows, storing, write_text
from devae_jax.training.sinks import Followed, Guarded

FLUSH = 30.0  # seconds that TensorBoard may lag behind
HELD = 2**16  # bytes for it that a run, or each member, may keep in memory meanwhile
FULL_ROWS = 10_000  # rows in an event file until every second is left out


class Writer:
    """Appends rows of metrics to a run's files, from `step` on: later rows are cut off.

    rows: the file of JSON lines
    members: of a population, the numbers in which each differs, written into its rows
    events: TensorBoard's files, one of the run or of each member; none for no TensorBoard
    sinks: take the numbers of every row

    Raises StorageError, from every method, for a disk that is full, gone or read-only.
    """

    def __init__(
        self,
        rows: str | Path,
        *,
        step: int = 0,
        members: Sequence[Mapping[str, Any]] = (),
        events: Sequence["Events"] = (),
        sinks: Sequence[Guarded] = (),
    ):
        self._path, self._members = Path(rows), members
        kept = [row for row in read_rows(rows) if row["step"] <= step]
        write_text(rows, "".join(json.dumps(row) + "\n" for row in kept))
        with storing(rows):
            self._file = self._path.open("a")
        self._events, self._sinks = events, sinks

    def write(self, step: int, row: Mapping[str, Any], also: Mapping[str, Any] | None = None):
        """One row, or one for each member if values are [M, ...]; arrays become lists.

        also: what depends on the clock, of all members, not into the file of rows
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
        with storing(self._path):
            self._path.stat()  # a file whose folder vanished takes rows and loses them
            for label, part in rows:
                logged = {"step": step} | jsonable(label) | jsonable(part)
                self._file.write(json.dumps(logged) + "\n")
            self._file.flush()
        if not self._events and not self._sinks:
            return
        curves = [numbers_of({**(also or {}), **part}) for _, part in rows]
        for i, events in enumerate(self._events):
            events.write(step, curves[i])
        for sink in self._sinks:
            sink.write(step, curves)

    def close(self) -> None:
        try:
            with storing(self._path):
                self._file.close()
        finally:
            for sink in self._sinks:
                sink.close()
            for events in self._events:
                events.close()


class Events:
    """A TensorBoard event file, written by the caller's own thread, whose errors it sees.

    Its size is bounded by the logarithm of the number of rows: 10,000 are written, then 10,000
    of every second one, of every fourth one, and so on. It is open only while rows are appended,
    as a population has one a member, and a process may not have so many files open.
    """

    def __init__(self, folder: Path, step: int, run: Followed | None = None):
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._path = _started(folder, f"{step}")
        self._waiting = b""
        self._seen = self._written = 0
        start = SessionLog(status=SessionLog.START)  # hides what an earlier start wrote later
        self._waiting += _record(Event(wall_time=time.time(), step=step + 1, session_log=start))
        for summary in _hparams(run) if run else ():
            self._waiting += _record(Event(wall_time=time.time(), step=step, summary=summary))
        self._flush()

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """One curve a number."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        self._seen += 1
        if self._seen % 2 ** (self._written // FULL_ROWS):
            return
        self._written += 1
        values = [Summary.Value(tag=tag, simple_value=item) for tag, item in numbers.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self._waiting += _record(event)
        if time.monotonic() - self._flushed > FLUSH or len(self._waiting) > HELD:
            self._flush()

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        """Appends what waits; what the disk refused is not tried again, as a part may be there."""
        waiting, self._waiting, self._flushed = self._waiting, b"", time.monotonic()
        _append(self._path, waiting)


def _started(folder: Path, suffix: str) -> Path:
    """A new event file; TensorBoard reads those of a folder in the order of their names."""
    from tensorboardX.proto.event_pb2 import Event

    # The suffix, which holds the step, tells files of one second apart.
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{suffix}"
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
    _append(folder / name, _record(Event(wall_time=time.time(), file_version="brain.Event:2")))
    return folder / name


def _append(path: Path, records: bytes) -> None:
    with storing(path), path.open("ab") as file:
        file.write(records)


def _record(event: Any) -> bytes:
    """An event as its file has it: length, the length's checksum, content, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    sums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
    return b"".join([length, next(sums), content, next(sums)])


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


# HParamInfo.differs = True: TensorBoard's table shows five columns until asked for more, such
# ones first. tensorboardX's copy of the format is older and lacks this field, its number 7.
DIFFERS = bytes([7 << 3, 1])


def _hparams(run: Followed) -> Sequence[Any]:
    """The summaries that TensorBoard's HParams reads: of an experiment, of a run of it."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.summary import hparams

    plain = {
        key: value if isinstance(value, str | bool | int | float) else json.dumps(value)
        for key, value in run.settings.items()
        if value is not None
    }
    # tensorboardX calls True a string; as text it is read by every release.
    plain = {k: str(v) if isinstance(v, bool) else v for k, v in plain.items()}
    experiment, session, _ = hparams(plain, dict.fromkeys(SHOWN))
    plugin = experiment.value[0].metadata.plugin_data
    told = HParamsPluginData.FromString(plugin.content)
    for info in told.experiment.hparam_infos:
        if info.name in run.varied:
            info.MergeFromString(DIFFERS)
    plugin.content = told.SerializeToString()
    return experiment, session


def write_pictures(folder: Path, step: int, pictures: Mapping[str, bytes]) -> None:
    """PNG files as images of a run's TensorBoard, tag -> content, in an event file of their own.

    Raises StorageError for a disk that is full, gone or read-only.
    """
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = []
    for tag, content in pictures.items():
        width, height = (int.from_bytes(content[i : i + 4]) for i in (16, 20))  # PNG's header
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=content
        )
        values.append(Summary.Value(tag=tag, image=image))
    event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
    _append(_started(folder, f"{step}.pictures"), _record(event))
