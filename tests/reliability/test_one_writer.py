"""One process writes a folder: the second is told who does, a dead one's lock is taken over."""

import json
import os
import subprocess
import sys
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


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_respected_while_it_is_young(lock, content):
    lock.write_text(content)
    with pytest.raises(LockedError, match="another process"), claimed(lock, "it"):
        pass
    old = time.time() - files.DEAD - 5
    os.utime(lock, (old, old))
    with claimed(lock, "it"):
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
