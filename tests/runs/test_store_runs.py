"""Runs in a store: checkpoints, stop and resume, results, as on a disk."""

import itertools
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import rng
from devae_jax.files import LockedError, StorageError
from devae_jax.program import keys
from devae_jax.runs import results
from devae_jax.runs.folder import Folder
from devae_jax.runs.run import load
from devae_jax.runs.train import train
from devae_jax.types import TrainState
from tests.launch import commands
from tests.runs.store import RUN, files_in, tell, toy


def same_run(bucket, folder):
    found = files_in(bucket / "run")
    expected = files_in(folder)
    assert found["metrics.jsonl"] == expected["metrics.jsonl"]
    states = [load(where).state for where in (RUN, folder)]
    jax.tree.map(np.testing.assert_array_equal, *[(s.step, s.params, s.opt_state) for s in states])
    assert [step for step in (6, 8) if load(RUN, step=step).step == step] == [6, 8]


def test_a_checkpoint_is_in_the_store_when_it_is_saved(bucket):
    def state(step):
        params, key = {"w": jnp.full(3, float(step))}, rng.seed(step)
        return TrainState(step=jnp.int32(step), params=params, carry=(), opt_state=(), key=key)

    folder, meta = Folder(RUN), {"config": {}, "data": {}, "members": []}
    with folder.writing():
        folder.prepare(toy())
        checkpoints = folder.checkpoints(keep=2)
        for step in (2, 4, 6):
            checkpoints.save(step, state(step), meta)
            names = {name.split("/")[2] for name in files_in(bucket) if "/checkpoints/" in name}
            assert names == {str(kept) for kept in (step - 2, step) if kept}
        with pytest.raises(LockedError), Folder(RUN).writing():
            pass
        checkpoints.close()
    found = Folder(RUN)
    assert not keys.differences(found.config(), toy()) and found.name == "run"
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), state(0)
    )
    saved = found.checkpoints(alone=True).restore(lambda meta: shapes)
    assert saved.step == 6
    np.testing.assert_array_equal(saved.state.params["w"], state(6).params["w"])


@pytest.mark.slow
def test_a_run_is_stopped_and_goes_on_as_on_a_disk(bucket, tmp_path, monkeypatch):
    train(toy(), tmp_path / "disk")

    def stop(action, key):
        if key.endswith("run/metrics.jsonl"):
            tell(monkeypatch, lambda *_: None)
            os.kill(os.getpid(), signal.SIGTERM)

    tell(monkeypatch, stop)
    stopped = train(toy(), RUN)
    assert stopped.step == 4
    train(toy(), RUN)
    same_run(bucket, tmp_path / "disk")
    assert {path.name for path in (bucket / "run/checkpoints").iterdir()} == {"6", "8"}


@pytest.mark.slow
def test_a_run_is_scored_drawn_shown_and_begun_again(bucket, tmp_path):
    run = train(toy(), RUN)
    copy = run.folder.path
    results.score(run, metrics=("mig",), progress=False)
    drawn = results.draw(run)
    assert str(drawn["report.html"]) == f"{RUN}/figures/report.html"
    found = files_in(bucket / "run")
    assert found["figures/report.html"] == (copy / "figures/report.html").read_bytes()
    assert json.loads(found["scores.json"])[0]["run"] == "run"
    assert not any(name.startswith(".") for name in found)
    del run
    assert not copy.exists()
    rows = Folder(RUN).scores()
    assert results.score(load(RUN), metrics=("mig",), progress=False)
    assert Folder(RUN).scores() == rows
    page = tmp_path / "page.html"
    table = commands.call("report", "--runs=stand-in://bucket/r*", f"--html={page}")
    assert "mig" in table and page.exists()
    with pytest.raises(ValueError, match=f"got workdir={RUN} with a run finished at step 8"):
        train(toy(), RUN)
    train(toy(4), RUN, overwrite=True)
    assert load(RUN).step == 4 and "scores.json" not in files_in(bucket / "run")


@pytest.mark.slow
def test_a_run_that_loses_its_store_anywhere_goes_on(bucket, tmp_path, monkeypatch):
    """Each seventh change of the store is the first that does not come through."""
    train(toy(), tmp_path / "disk")
    done = []
    tell(monkeypatch, lambda *what: done.append(what))
    train(toy(), RUN)
    assert len(done) > 50
    # How many files a checkpoint has varies by a few; of the last ones, one is named.
    for lost in [*range(0, len(done) - 20, 7), "bucket/run/checkpoints/4/"]:
        count = itertools.count()

        def refuse(action, key, count=count, lost=lost):
            late = action == "delete" and key.startswith(str(lost))
            if late or next(count) >= (lost if isinstance(lost, int) else len(done) * 2):
                raise ConnectionError("the network is gone")

        tell(monkeypatch, lambda *_: None)
        Folder(RUN).clear()
        tell(monkeypatch, refuse)
        with pytest.raises(StorageError, match="the network is gone"):
            train(toy(), RUN)
        tell(monkeypatch, lambda *_: None)
        for claim in bucket.rglob("*.json"):
            if claim.parent.name == ".lock":  # this process lives, that one would not
                claim.unlink()
        try:
            train(toy(), RUN)
        except ValueError as error:  # only what is gone was not yet deleted
            assert "with a run finished at step 8" in str(error)
        same_run(bucket, tmp_path / "disk")
