"""Disks that are full, read-only or gone: one line with the path, and what was saved stays."""

import errno
import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import orbax.checkpoint as ocp
import pytest
from tensorboardX.proto.event_pb2 import Event

from devae_jax.files import StorageError, check_room
from devae_jax.runs.folder import Folder
from devae_jax.training import loop, writer
from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.sinks import Followed
from devae_jax.training.writer import Events, Writer, numbers_of
from devae_jax.viz.save import save
from tests.reliability.damage import META, abstract, state_of, write

FULL = "got No space left on device writing {}.*same command again"
on_linux = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


@on_linux
def test_rows_on_a_full_disk(tmp_path):
    rows = Writer(tmp_path / "metrics.jsonl")
    rows._file.close()
    rows._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    with pytest.raises(StorageError, match=FULL.format(r".*metrics\.jsonl")):
        rows.write(1, {"loss": np.float32(1)})
    with pytest.raises(StorageError, match=FULL.format(r".*metrics\.jsonl")):
        rows.close()


@on_linux
def test_events_on_a_full_disk(tmp_path, monkeypatch):
    full = tmp_path / "tensorboard" / "events"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    with monkeypatch.context() as patched, pytest.raises(StorageError, match=FULL.format(full)):
        patched.setattr(writer, "_started", lambda *_: full)
        Events(full.parent, 0)
    events = Events(full.parent, 0)
    events.write(1, {"loss": 1.0})
    events._path = full
    with pytest.raises(StorageError, match=FULL.format(full)):
        events.close()
    events.close()  # nothing is left that the disk could refuse


def test_rows_of_a_folder_that_vanished(tmp_path):
    (tmp_path / "run").mkdir()
    rows = Writer(tmp_path / "run" / "metrics.jsonl")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(StorageError, match=r"No such file.*metrics\.jsonl"):
        rows.write(1, {"loss": np.float32(1)})


def test_checkpoints_of_a_folder_that_vanished(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(StorageError, match=r"No such file.*checkpoints"):
        checkpoints.save(50, state_of(50), META)
    assert not (tmp_path / "run").exists()
    checkpoints.close()


@pytest.mark.parametrize("kept", [1, 5])
def test_checkpoints_that_their_writer_deletes_meanwhile(tmp_path, kept):
    """Who looks on sees those that stay: as orbax does, one comes by a rename, then one goes."""
    directory, over = tmp_path / "checkpoints", threading.Event()
    write(directory)

    def move_on():
        for step in itertools.count(150, 50):
            if over.is_set():
                return
            shutil.copytree(directory / f"{step - 50}", tmp_path / "new")
            (tmp_path / "new").rename(directory / f"{step}")
            shutil.rmtree(directory / f"{step - 50 * kept}", ignore_errors=True)

    moving = threading.Thread(target=move_on)
    moving.start()
    try:
        seen = {0}
        while len(seen) < 20:
            seen.add(max(Checkpoints(directory, alone=True).steps()))
    finally:
        over.set()
        moving.join()


def test_who_looks_on_looks_again_where_all_that_it_saw_went(tmp_path, monkeypatch):
    """Also where one goes between being listed and being dated, which is orbax' way to list."""
    write(tmp_path)
    looking = Checkpoints(tmp_path, alone=True)
    seen = looking.steps()
    for step in seen:
        (tmp_path / str(step)).rename(tmp_path / f"{step + 1000}")

    def gone(self):
        raise FileNotFoundError(self.path)

    monkeypatch.setattr(ocp.path.step.Metadata, "commit_timestamp", property(gone))
    assert looking.steps() == [step + 1000 for step in seen] != []


def test_checkpoints_ask_for_room_first(tmp_path, monkeypatch):
    write(tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    disk = SimpleNamespace(f_blocks=1000, f_bavail=20, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    with pytest.raises(StorageError, match=FULL.format(".*checkpoints")):
        checkpoints.save(150, state_of(150), META)
    checkpoints.close()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["100", "50"]
    disk.f_bavail = 200
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(150, state_of(150), META)
    checkpoints.close()
    assert Checkpoints(tmp_path / "checkpoints", alone=True).restore(abstract).step == 150


def test_room_of_a_disk_that_does_not_say(tmp_path, monkeypatch):
    disk = SimpleNamespace(f_blocks=0, f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    check_room(tmp_path, 10**12)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("kind", [OSError, ValueError])  # the second from tensorstore
def test_errors_of_a_write_in_the_background(tmp_path, monkeypatch, kind, number):
    """As orbax raises them when it is asked next; what it left half written makes room."""
    write(tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "150.orbax-checkpoint-tmp" / "state").mkdir(parents=True)

    text = f"RESOURCE_EXHAUSTED: Failed [os_error_code='{number}']"

    def refuse(*_, **__):
        raise kind(text) if kind is ValueError else kind(number, os.strerror(number))

    monkeypatch.setattr(checkpoints._manager, "wait_until_finished", refuse)
    with pytest.raises(StorageError, match=rf"got {os.strerror(number)} writing .*checkpoints"):
        checkpoints.close()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["100", "50"]
    monkeypatch.undo()
    checkpoints.close()
    with pytest.raises(ValueError, match="other") as caught, checkpoints._storing():
        raise ValueError("other")
    assert not isinstance(caught.value, StorageError)


def test_figures_where_no_folder_can_be(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(StorageError, match=r"writing .*report\.html.*same command again"):
        save(tmp_path / "figures" / "report.html", "<p>")


def test_the_first_error_is_told_and_all_is_closed():
    closed = []

    def close(name):
        closed.append(name)
        raise StorageError(name)

    both = [SimpleNamespace(close=lambda name=name: close(name)) for name in ("saved", "rows")]
    with pytest.raises(StorageError, match="first"), loop._closed_after(*both):
        raise StorageError("first")
    assert closed == ["saved", "rows"]


def events_of(folder):
    """The events of all files, oldest first."""
    found = []
    for file in sorted(folder.iterdir()):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("Q", content, place)
            found.append(Event.FromString(content[place + 12 : place + 12 + size]))
            place += size + 16
    return found


def test_an_event_file_holds_curves_and_hides_what_was_later(tmp_path):
    events = Events(tmp_path / "tensorboard", 20)
    row = {"loss": np.float32(2), "kl": np.array([1, np.nan, 3]), "x": np.zeros((2, 2)), "s": "a"}
    events.write(30, numbers_of(row))
    events.close()
    _, start, last = events_of(tmp_path / "tensorboard")
    assert (start.session_log.status, start.step) == (start.session_log.START, 21)
    assert last.step == 30
    assert {v.tag: v.simple_value for v in last.summary.value} == {"loss": 2, "kl/0": 1, "kl/2": 3}


def test_starts_of_one_second_do_not_share_a_file(tmp_path):
    for step in (10, 20):
        events = Events(tmp_path / "tensorboard", step)
        events.write(step + 10, {"loss": 1.0})
        events.close()
    assert [e.step for e in events_of(tmp_path / "tensorboard") if e.summary.value] == [20, 30]


def test_event_files_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "FULL_ROWS", 8)
    events = Events(tmp_path / "tensorboard", 0)
    for step in range(1, 2001):
        events.write(step, {"loss": 1.0})
    events.close()
    steps = [e.step for e in events_of(tmp_path / "tensorboard") if e.summary.value]
    assert steps[:12] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]
    assert 8 * 6 < len(steps) < 8 * 9
    assert steps[-1] > 1700


def test_rows_wait_in_memory_for_a_while_and_not_too_many(tmp_path, monkeypatch):
    events, (file,) = Events(tmp_path / "tensorboard", 0), (tmp_path / "tensorboard").iterdir()
    empty = file.stat().st_size
    events.write(1, {"loss": 1.0})
    assert file.stat().st_size == empty
    monkeypatch.setattr(writer, "FLUSH", 0.0)
    events.write(2, {"loss": 1.0})
    row = (file.stat().st_size - empty) // 2
    assert row
    monkeypatch.setattr(writer, "FLUSH", 1e9)
    monkeypatch.setattr(writer, "HELD", 10 * row)
    for step in range(3, 100):
        events.write(step, {"loss": 1.0})
        assert len(events._waiting) <= 10 * row
    events.close()
    steps = [e.step for e in events_of(tmp_path / "tensorboard") if e.summary.value]
    assert steps == list(range(1, 100))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_a_population_of_hundreds_opens_one_file_at_a_time(tmp_path):
    """Processes may often have 1024 files open; members' event files must not count."""
    before, members = len(os.listdir("/proc/self/fd")), [{"seed": i} for i in range(300)]
    shown = [Followed(tmp_path, numbers, i) for i, numbers in enumerate(members)]
    rows = Folder(tmp_path).writer(0, members=members, tensorboard=shown)
    rows.write(1, {"loss": np.arange(300.0)})
    assert len(os.listdir("/proc/self/fd")) == before + 1  # metrics.jsonl
    rows.close()
    *_, last = events_of(tmp_path / "tensorboard" / "member_299")
    assert [(v.tag, v.simple_value) for v in last.summary.value] == [("loss", 299)]


@pytest.mark.slow
def test_a_run_on_a_small_disk_goes_on_when_there_is_room(tmp_path):
    """A tmpfs that grows by a bit: each time one line, never less than before, the same end."""
    command = [sys.executable, "-m", "tests.reliability.disk", str(tmp_path), "150000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    if "cannot mount" in done.stdout:
        pytest.skip("no right to mount")
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["lines"]) > 5
    assert all("No space left on device writing" in line for line in found["lines"])
    assert all("\n" not in line for line in found["lines"])
    assert found["steps"] == sorted(found["steps"])
    assert found["same"] and found["results"]
    print(f"{len(found['lines'])} full disks, saved steps {found['steps']}")
