"""One process writes a folder: the second is told who does, a dead one's lock is taken over."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from devae_jax import files
from devae_jax.files import LockedError, StorageError, claimed, write_text


@pytest.fixture
def lock(tmp_path):
    return tmp_path / ".lock"


def foreign(lock, **changes):
    """The lock of another process."""
    with claimed(lock, "it"):
        owner = json.loads(lock.read_text())
    lock.write_text(json.dumps(owner | {"id": "other"} | changes))


def test_the_second_is_told_who_writes(lock):
    with claimed(lock, "workdir=x"):
        told = rf"workdir=x.*process {os.getpid()} on .* since 20"
        with pytest.raises(LockedError, match=told), claimed(lock, "workdir=x"):
            pass
        assert lock.exists()
    assert not lock.exists()


def test_the_lock_of_a_killed_process_is_taken_over(lock):
    code = "import sys, time; from devae_jax.files import claimed\n"
    code += "with claimed(sys.argv[1], 'it'): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {process.pid}"), claimed(lock, "it"):
            pass
        process.kill()
        process.wait()
    with claimed(lock, "it"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert list(lock.parent.iterdir()) == []


def test_a_later_process_of_the_same_number_is_another(lock):
    foreign(lock, born="1")
    with claimed(lock, "it"):
        pass


OF_NOBODY = json.dumps(files.this_process() | {"pid": 10**30})  # as no machine has


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x"}', pytest.param(OF_NOBODY, id="no")]
)
def test_a_lock_that_says_nothing_is_respected_while_it_is_young(lock, content):
    lock.write_text(content)
    with pytest.raises(LockedError, match="another process"), claimed(lock, "it"):
        pass
    old = time.time() - files.DEAD - 5
    os.utime(lock, (old, old))
    with claimed(lock, "it"):
        pass


def test_a_living_owner_that_does_not_say_when_it_began_is_respected(lock):
    owner = {name: value for name, value in files.this_process().items() if name != "born"}
    lock.write_text(json.dumps(owner))
    with pytest.raises(LockedError, match=f"process {os.getpid()}"), claimed(lock, "it"):
        pass


def test_an_owner_on_another_machine_is_given_up_when_it_is_silent(lock):
    foreign(lock, place="elsewhere", host="node7", pid=2**22)
    with pytest.raises(LockedError, match=r"on node7 since"), claimed(lock, "it"):
        pass
    old = time.time() - files.DEAD - 5
    os.utime(lock, (old, old))
    with claimed(lock, "it"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_the_owner_shows_that_it_lives(lock, monkeypatch):
    monkeypatch.setattr(files, "BEAT", 0.01)
    with claimed(lock, "it"):
        os.utime(lock, (0, 0))
        deadline = time.monotonic() + 5
        while lock.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock.stat().st_mtime > 0


def test_a_lock_that_was_taken_over_is_not_removed(lock):
    with claimed(lock, "it"):
        content = json.loads(lock.read_text()) | {"id": "new"}
        lock.write_text(json.dumps(content))
    assert lock.exists()


@pytest.mark.parametrize("number", [28, 30, 122])  # full, read-only, quota
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, number):
    path = tmp_path / "scores.json"
    write_text(path, "old")

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"writing .*scores\.json.*same command again"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_vanished(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        write_text(tmp_path / "gone" / "scores.json", "new")


def test_a_look_that_is_out_of_date_takes_nothing(lock, monkeypatch):
    """Between the look at a dead owner and the right to replace it, another has done so."""
    foreign(lock, born="1")
    made = files._made
    with contextlib.ExitStack() as other:

        def late(path, owner):
            if path.suffix == ".tmp":
                monkeypatch.setattr(files, "_made", made)
                other.enter_context(claimed(lock, "it"))
            return made(path, owner)

        monkeypatch.setattr(files, "_made", late)
        with pytest.raises(LockedError), claimed(lock, "it"):
            pass
        assert files.holder(lock)["pid"] == os.getpid()
    assert list(lock.parent.iterdir()) == []


def test_the_right_to_take_over_is_taken_over_too(lock):
    """A process was killed while it took over."""
    foreign(lock, born="1")
    foreign(lock.with_name("..lock.other.tmp"), born="1", id="killed")
    with claimed(lock, "it"):
        pass
    assert list(lock.parent.iterdir()) == []


def test_of_many_that_take_over_one_holds(lock):
    for _ in range(10):
        foreign(lock, born="1")
        together, held = threading.Barrier(8), []

        def take(together=together, held=held):
            together.wait()
            with contextlib.suppress(LockedError), claimed(lock, "it"):
                held.append(1)
                together.wait()  # nobody leaves before all have tried
                return
            together.wait()

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(held) == 1


def test_who_holds_a_lock(lock):
    assert files.holder(lock) is None
    with claimed(lock, "it"):
        assert files.holder(lock)["pid"] == os.getpid()
    foreign(lock, born="1")
    assert files.holder(lock) is None
    lock.write_text("")
    assert files.holder(lock) == {}
