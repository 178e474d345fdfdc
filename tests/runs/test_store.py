"""A folder in a store that has no renames, appends or locks: what is brought, put back and held."""

import json
import os
import time

import fsspec
import pytest
from etils import epath

from devae_jax import files
from devae_jax.files import LockedError, StorageError
from devae_jax.runs import place, store, sweep
from devae_jax.runs.folder import Folder
from devae_jax.runs.store import Store
from devae_jax.studies import make
from tests.laws.registry import config_of
from tests.runs.store import RUN, StandIn, files_in, tell


def test_what_changed_is_put_back_and_what_is_gone_is_deleted(bucket, monkeypatch):
    first = Store(RUN)
    (first.here / "a").write_text("1")
    (first.here / "deep").mkdir()
    (first.here / "deep/b").write_text("2")
    (first.here / ".half.tmp").write_text("")
    (first.here / ".hidden").mkdir()
    (first.here / ".hidden/b").write_text("")
    first.publish()
    assert files_in(bucket) == {"run/a": b"1", "run/deep/b": b"2"}
    done = []
    tell(monkeypatch, lambda *what: done.append(what))
    second = Store(RUN + "/")
    (second.here / "a").unlink()
    (second.here / "deep/b").write_text("3")
    (second.here / "c").write_text("4")
    second.publish()
    assert done == [
        ("write", "bucket/run/c"),
        ("write", "bucket/run/deep/b"),
        ("delete", "bucket/run/a"),
    ]
    second.publish()
    assert len(done) == 3
    first.refresh("deep/b")
    assert (first.here / "deep/b").read_text() == "3" and (first.here / "a").exists()
    first.refresh()
    assert files_in(first.here) == {"deep/b": b"3", "c": b"4"}
    copy = first.here
    del first
    assert not copy.exists()


def test_a_checkpoint_comes_after_its_rows_and_results_last(bucket, monkeypatch):
    done = []
    tell(monkeypatch, lambda action, key: done.append(key.removeprefix("bucket/run/")))
    names = [f"checkpoints/4/{store.WHOLE}", "checkpoints/4/x", "checkpoints/4/state/y"]
    names += ["results.json", "config.json", "figures/a", "metrics.jsonl"]
    one = Store(RUN)
    for name in names:
        (one.here / name).parent.mkdir(parents=True, exist_ok=True)
        (one.here / name).write_text("")
    one.publish()
    order = ["config.json", "metrics.jsonl", "figures/a", "checkpoints/4/state/y"]
    order += ["checkpoints/4/x", f"checkpoints/4/{store.WHOLE}", "results.json"]
    assert done == order
    for name in names:
        (one.here / name).unlink()
    one.publish()
    assert done == order + order[::-1]


def test_half_a_checkpoint_is_not_brought_and_removed_by_the_next_writer(bucket):
    for name in (f"2/{store.WHOLE}", "2/x", "4/x", "4.damaged/x"):
        file = bucket / "run/checkpoints" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    one = Store(RUN)
    kept = {f"2/{store.WHOLE}", "2/x", "4.damaged/x"}
    assert files_in(one.here / "checkpoints").keys() == kept
    one.publish()
    assert (bucket / "run/checkpoints/4/x").exists()
    one.clean()
    assert files_in(bucket / "run/checkpoints").keys() == kept


def test_a_lock_has_one_owner_also_if_two_come_at_once(bucket, monkeypatch):
    def claim():
        return Store(RUN).claimed(".lock", "it")

    held = pytest.raises(LockedError, match=f"process {os.getpid()} on .* one writer")
    with claim(), held, claim():
        pass
    assert files_in(bucket.parent) == {}
    inside = []

    def race(action, key):
        monkeypatch.undo()
        monkeypatch.setattr(StandIn, "FOLDER", bucket.parent, raising=False)
        if action == "write":  # another comes before this claim can be seen
            other = claim()
            other.__enter__()
            inside.append(other)

    tell(monkeypatch, race)
    with pytest.raises(LockedError), claim():
        inside.append("both")
    assert len(inside) == 1
    inside[0].__exit__(None, None, None)
    with claim():
        pass


def test_a_dead_claim_is_removed_and_who_lost_his_writes_no_more(bucket):
    owner = files.this_process()
    folder = bucket / "run" / ".lock"
    folder.mkdir(parents=True)
    (folder / "dead.json").write_text(json.dumps(owner | {"born": "1"}))
    one = Store(RUN)
    with pytest.raises(LockedError, match="another process"), one.claimed(".lock", "it"):
        assert [claim.name for claim in folder.iterdir()] != ["dead.json"]
        (one.here / "a").write_text("1")
        one.publish()
        (mine,) = folder.iterdir()
        mine.unlink()  # as another does that takes over
        (one.here / "a").write_text("22")
        one.publish()
    assert files_in(bucket) == {"run/a": b"1"}


@pytest.mark.parametrize("age, taken", [(files.DEAD - 60, False), (files.DEAD + 60, True)])
def test_a_claim_from_elsewhere_is_given_up_when_it_is_silent(bucket, age, taken):
    folder = bucket / "run" / ".lock"
    folder.mkdir(parents=True)
    claim = folder / "other.json"
    claim.write_text(json.dumps(files.this_process() | {"place": "elsewhere", "host": "node7"}))
    os.utime(claim, (time.time() - age,) * 2)
    entered = False
    try:
        with Store(RUN).claimed(".lock", "it"):
            entered = True
    except LockedError as error:
        assert "node7" in str(error)
    assert entered == taken == (not claim.exists())


def test_an_owner_shows_that_it_lives_but_not_after_a_long_sleep(bucket, monkeypatch):
    monkeypatch.setattr(store, "BEAT", 0.01)
    folder = bucket / "run" / ".lock"

    def soon(happened):
        end = time.monotonic() + 5
        while not happened() and time.monotonic() < end:
            time.sleep(0.01)
        assert happened()

    with pytest.raises(LockedError), Store(RUN).claimed(".lock", "it"):
        (claim,) = folder.iterdir()
        os.utime(claim, (0, 0))
        soon(lambda: claim.stat().st_mtime > 0)
        monkeypatch.setattr(store, "DEAD", -1.0)
        soon(lambda: not claim.exists())


def test_an_address_of_google_goes_through_fsspec(monkeypatch):
    """epath's own backend, over a file system in memory."""
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    monkeypatch.setattr(memory, "store", {})
    monkeypatch.setattr(memory, "pseudo_dirs", [""])
    backend = type(epath.backend.fsspec_backend)
    monkeypatch.setattr(backend, "_get_filesystem", lambda self, name: memory)
    one = Store("gs://bucket/run")
    (one.here / "deep").mkdir()
    (one.here / "a").write_text("1")
    (one.here / "deep/b").write_text("2")
    other, refused = Store("gs://bucket/run"), pytest.raises(LockedError)
    with one.claimed(".lock", "it"), refused, other.claimed(".lock", "it"):
        pass
    names = {key.lstrip("/").removeprefix("gs://bucket/run/") for key in memory.store}
    assert names == {"a", "deep/b"}
    assert files_in(other.here) == {"a": b"1", "deep/b": b"2"}
    assert place.matching("gs://bucket/*", "a") == ["gs://bucket/run"]
    (one.here / "a").unlink()
    one.publish()
    assert files_in(Store("gs://bucket/run").here) == {"deep/b": b"2"}


def test_what_nothing_opens_or_what_fails_is_said_in_a_line(bucket, monkeypatch):
    with pytest.raises(ValueError, match=r"got workdir=ftp://a/b, which nothing here opens"):
        Folder("ftp://a/b")

    def refuse(*_):
        raise RuntimeError("403 Forbidden\nand a page of more")

    tell(monkeypatch, refuse)
    one = Store(RUN)
    (one.here / "a").write_text("")
    with pytest.raises(StorageError, match=r"got 403 Forbidden writing stand-in://bucket/run, "):
        one.publish()


@pytest.mark.parametrize(
    "take",
    [
        lambda: sweep.opened(RUN, config_of("vae"), [("seed", (1, 2))]),
        lambda: make.opened(RUN, "table2", "cpu"),
    ],
    ids=["sweep", "reproduce"],
)
def test_what_many_processes_write_must_lie_on_a_disk(bucket, tmp_path, monkeypatch, take):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"got workdir={RUN}, expected a folder of a file system"):
        take()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
