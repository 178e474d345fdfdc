"""Tables on disk: one writer, nothing left over, damage named, files from elsewhere harmless."""

import errno
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from devae_jax.data import cache, real, shapes3d_like, verify
from devae_jax.files import LockedError, StorageError, claimed

TABLE = np.arange(4096, dtype=np.uint8).reshape(8, 512)
LAYOUT = cache.Layout(np.uint8, (None, 512))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.npy"


@pytest.fixture
def written(path):
    cache.table(path, lambda: TABLE, LAYOUT)
    return path


def held(path):
    return claimed(path.with_name(f".{path.name}.lock"), str(path))


def fill(path):
    with cache.created(path, TABLE.shape, TABLE.dtype) as rows:
        rows[...] = TABLE


def test_the_second_waits_and_builds_nothing(path, monkeypatch, capfd):
    monkeypatch.setattr(cache, "POLL", 0.01)
    found, started = [], threading.Event()

    def build():
        started.set()
        time.sleep(0.2)
        return TABLE

    first = threading.Thread(target=lambda: cache.table(path, build, LAYOUT))
    first.start()
    assert started.wait(5)
    found.append(cache.table(path, pytest.fail, LAYOUT)[0])
    first.join()
    np.testing.assert_array_equal(found[0], TABLE)
    assert f"waiting for the data: got {path} that process {os.getpid()}" in capfd.readouterr().err
    assert [item.name for item in path.parent.iterdir()] == ["table.npy"]


def test_preparing_stops_where_another_process_prepares(path):
    with held(path), pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        fill(path)
    assert not path.exists()


def test_what_killed_writers_left_goes_unless_one_writes(written):
    left = written.with_name(f".{written.name}.{'0' * 32}.tmp")
    left.write_bytes(b"half")
    with held(written):
        cache.table(written, pytest.fail, LAYOUT)
        assert left.exists()
    cache.table(written, pytest.fail, LAYOUT)
    assert [item.name for item in written.parent.iterdir()] == ["table.npy"]


def test_a_header_of_the_same_bytes_in_another_order_is_damage(tmp_path):
    """One bit makes '<f2' '>f2': the bytes, and their digest, stay."""
    path, weights = tmp_path / "shapes3d_like.npy", np.ones((4, 5, 8), "<f2")
    layout = cache.Layout(np.float16, (None, 5, 8))
    cache.table(path, lambda: weights, layout)
    content = path.read_bytes()
    assert content.count(b"'<f2'") == 1
    path.write_bytes(content.replace(b"'<f2'", b"'>f2'"))
    with pytest.raises(cache.DamagedError, match=r"got >f2 \[4, 5, 8\]"):
        cache.read(path, layout)


def test_every_flipped_bit_of_a_header_is_seen_or_harmless(written):
    content = written.read_bytes()
    for place in range(128):
        for bit in range(8):
            hurt = bytearray(content)
            hurt[place] ^= 1 << bit
            written.write_bytes(hurt)
            try:
                array, _ = cache.read(written, LAYOUT)
            except cache.DamagedError:
                continue
            assert array.dtype == TABLE.dtype
            np.testing.assert_array_equal(array, TABLE)


def test_a_drawing_that_is_not_the_known_one_is_refused(path):
    with pytest.raises(ValueError, match="on making it, expected 00; report"):
        cache.table(path, lambda: TABLE, LAYOUT._replace(sha256="00"))
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_no_room(path, monkeypatch, number):
    """Found out before the file is mapped: a page without room would end the process."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(StorageError, match=r"writing .*table\.npy.*same command again"):
        fill(path)
    with pytest.warns(UserWarning, match="not kept"):
        np.testing.assert_array_equal(cache.table(path, lambda: TABLE, LAYOUT)[0], TABLE)
    assert list(path.parent.iterdir()) == []


def test_what_reads_back_otherwise_is_not_published(path, monkeypatch):
    good = cache.read

    def bad(name, layout):
        if name != path:
            raise cache.DamagedError("other bytes")
        return good(name, layout)

    monkeypatch.setattr(cache, "read", bad)
    with pytest.raises(StorageError, match="other bytes than were written"):
        fill(path)
    assert list(path.parent.iterdir()) == []


def test_verify_on_demand(tmp_path):
    with pytest.raises(ValueError, match="got no tables in"):
        verify.verify(tmp_path)
    names = real.KINDS["dsprites"].grid.names
    for name, shape, dtype in (
        ("dsprites", (*[1] * (len(names) - 1), 8, 512), np.uint8),
        ("shapes3d_like", shapes3d_like.LAYOUT.shape, np.float16),
    ):
        with cache.created(tmp_path / f"{name}.npy", shape, dtype) as rows:
            rows[...] = 1
    assert set(verify.verify(tmp_path)) == {"dsprites", "shapes3d_like"}
    with (tmp_path / "dsprites.npy").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"got .*dsprites\.npy with sha256 .* make it again"):
        verify.verify(tmp_path)


@pytest.mark.slow
def test_two_processes_build_one_table_once(tmp_path):
    code = (
        "import sys, time, pathlib, numpy as np\n"
        "from devae_jax.data import cache\n"
        "path = pathlib.Path(sys.argv[1]) / 'table.npy'\n"
        "def build():\n"
        "    print('built', flush=True); time.sleep(5); return np.ones((8, 512), np.uint8)\n"
        "print(cache.table(path, build, cache.Layout(np.uint8, (8, 512)))[1])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    done = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(out.count("built") for out, _ in done) == 1
    assert len({out.split()[-1] for out, _ in done}) == 1
    assert sum(err.count("waiting for the data") for _, err in done) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["table.npy"]
