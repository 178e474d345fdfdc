"""Finished is one thing; a run that lacks its results makes them; refusals lose nothing."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest

from devae_jax.files import claimed
from devae_jax.runs import results
from devae_jax.runs.folder import Folder
from devae_jax.runs.place import on_disk
from devae_jax.runs.run import load
from devae_jax.runs.train import train, train_members
from tests.runs.test_training import small

pytestmark = pytest.mark.xdist_group("finished")  # what its tests share is made once


def config_():
    return small(steps=10)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    train(config_(), path)
    return path


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_a_finished_run_without_results_makes_them(run):
    """Killed between the last checkpoint, the scores and the figures."""
    with pytest.raises(ValueError, match="finished at step 10"):
        train(config_(), run)
    metrics = (run / "metrics.jsonl").read_bytes()
    done = train(config_(), run, resume_results=True)
    assert done.step == 10
    assert not done.folder.has_results(10)
    rows = results.score(done, metrics=("kl", "mig"), seeds=(0,), calibrate=False, progress=False)
    assert not done.folder.has_results(10)
    done = train(config_(), run, resume_results=True)
    results.draw(done, rows)
    assert done.folder.has_results(10)
    assert not done.folder.has_results(20)
    assert (run / "metrics.jsonl").read_bytes() == metrics
    with pytest.raises(ValueError, match="finished at step 10"):
        train(config_(), run, resume_results=True)
    (run / "figures" / "report.html").unlink()
    assert not done.folder.has_results(10)


def test_an_empty_or_damaged_last_checkpoint_is_not_the_end(run):
    folder = Folder(run)
    config = small(steps=500)
    (run / "checkpoints" / "500").mkdir()
    assert not folder.finished(config)
    assert folder.finished(config_())
    for file in (run / "checkpoints" / "10" / "state").rglob("d/*"):
        file.write_bytes(b"damaged")
    assert not folder.finished(config_())


def test_a_member_that_diverged_is_finished_too(tmp_path):
    members = [{"seed": 0}, {"seed": 0, "optimizer.learning_rate": 1e30}]
    runs = train_members(config_(), members, tmp_path / "run")
    folder = runs[0].folder
    assert not folder.scored(10, 2)
    options = {"metrics": ("kl",), "seeds": (0,), "calibrate": False, "progress": False}
    results.score_members(runs, **options)
    assert folder.scored(10, 2)
    assert folder.has_results(10, members=2)
    assert not folder.scored(20, 2)
    assert json.loads((folder.path / "results.json").read_text()) == {"step": 10, "diverged": [1]}


ROW = {"member": None, "step": 10, "layer": 0, "representation": "mean", "protocol": "dlib"}
ROW |= {"metric": "mig", "value": 0.5}
ODD = [  # in a row of scores, each of which once was a TypeError somewhere later
    {"member": [1]},
    {"layer": "x"},
    {"layer": None},
    {"step": True},
    {"value": {}},
    {"metric": ["mig"]},
    {"protocol": {}},
    {"representation": []},
    {"images": [1]},
    {"mi": {}},
    {"per_latent": [[1], "x"]},
]


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "[1, 2]",
        "3",
        "{}",
        '[{"step": 1}]',
        "{",
        '"x"',
        *(json.dumps([ROW | x]) for x in ODD),
    ],
)
def test_scores_that_are_none(run, content):
    (run / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=r"scores\.json.*expected a list.*move the file away"):
        Folder(run).scores()


def test_damaged_scores_are_refused_before_anything_is_scored(run, monkeypatch):
    (run / "scores.json").write_text("null")
    monkeypatch.setattr(results, "evaluate", lambda *_, **__: pytest.fail("it was scored"))
    with pytest.raises(ValueError, match="move the file away"):
        results.score(load(run))


def test_scores_wait_for_another_process_that_writes_some(run, monkeypatch):
    """As two that score members of one population at once; the work of neither is lost."""
    row = {**ROW, "member": 1}
    monkeypatch.setattr(results, "evaluate", lambda *_, **__: [dict(ROW)])
    held, scored = threading.Event(), load(run)

    def other():
        with Folder(run).scoring():
            held.set()
            time.sleep(0.5)
            Folder(run).write_scores([row])

    writer = threading.Thread(target=other)
    writer.start()
    assert held.wait(10)
    results.score(scored)
    writer.join()
    assert [found["member"] for found in Folder(run).scores()] == [1, None]


NOTED = ('{"step": 10, "drawn": 3}', '{"step": 10, "diverged": [[1]]}')


@pytest.mark.parametrize("content", ["null", "[1]", "{", "", *NOTED])
def test_results_that_are_none_say_nothing(run, content):
    (run / "results.json").write_text(content)
    folder = Folder(run)
    assert not folder.has_results(10) and not folder.scored(10, 1)
    folder.note(10, "diverged", 0)
    assert folder.scored(10, 1)


def test_one_trains_at_a_time(run):
    with claimed(run / ".lock", "it"):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=f"process {os.getpid()} on"):
                train(small(), run, overwrite=overwrite)
    assert load(run).step == 10
    assert not (run / ".lock").exists()


def test_overwrite_follows_no_link(run, tmp_path):
    precious = tmp_path / "precious"
    (run / "checkpoints").rename(precious)
    (run / "checkpoints").symlink_to(precious)
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(ValueError, match=r"checkpoints, a link to .*precious"):
        train(config_(), run, overwrite=True)
    assert sorted(path.name for path in run.iterdir()) == before
    assert (precious / "10").is_dir()


@pytest.mark.parametrize("content", ['{"model_type": "bert"}', '{"model": "a"}', "{}", "[1]"])
def test_overwrite_deletes_nothing_of_another_program(run, content):
    (run / "config.json").write_text(content)
    before = sorted(run.rglob("*"))
    with pytest.raises(ValueError, match=r"config\.json lacks data, model, objective, expected"):
        train(config_(), run, overwrite=True)
    with pytest.raises(ValueError, match=r"expected a run of this library to delete"):
        Folder(run).clear()
    assert sorted(run.rglob("*")) == before


def test_overwrite_starts_a_run_again_whose_config_is_damaged(run):
    (run / "config.json").write_text((run / "config.json").read_text()[:-20])
    assert train(small(steps=10, seed=1), run, overwrite=True).config.seed == 1


@pytest.mark.parametrize(("name", "kind"), [("checkpoints", "folder"), ("metrics.jsonl", "file")])
def test_what_is_of_the_wrong_kind_is_refused_first(run, name, kind):
    item = run / name
    shutil.rmtree(item) if item.is_dir() else item.unlink()
    item.touch() if kind == "folder" else item.mkdir()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"{name}, expected a {kind}"):
            train(small(), run, overwrite=overwrite)
    assert (run / "config.json").exists()


def test_rows_never_go_through_a_link(run, tmp_path):
    foreign = tmp_path / "thesis.tex"
    foreign.write_text("precious")
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(foreign)
    writer = Folder(run).writer(10)
    writer.write(20, {"loss": np.float32(1)})
    writer.close()
    assert foreign.read_text() == "precious"


def test_a_refused_run_leaves_no_folder_and_no_files_of_others(tmp_path):
    """The folder is made for its lock before the steps are compiled to see what they need."""

    def refuse():
        raise ValueError("it does not fit")

    folder = Folder(tmp_path / "new")
    for found in ([], ["logs"]):
        for name in found:
            (folder.path / name).mkdir(parents=True)
        with pytest.raises(ValueError, match="does not fit"), folder.writing():
            folder.prepare(config_(), check=refuse)
        assert folder.path.exists() == bool(found)
    assert [item.name for item in folder.path.iterdir()] == ["logs"]


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(ValueError, match="expected a folder that can be written") as caught:
        train(config_(), tmp_path / ("x" * 300))
    assert "\n" not in str(caught.value)


def test_what_a_kill_left_is_cleaned_but_not_what_is_being_written(run):
    folder = Folder(run)
    (run / "checkpoints" / "20.orbax-checkpoint-tmp-1" / "state").mkdir(parents=True)
    old, young = run / ".scores.json.1.tmp", run / ".scores.json.2.tmp"
    for item in (old, young):
        item.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    with folder.writing():
        folder.prepare(small())
    assert [item.name for item in (run / "checkpoints").iterdir()] == ["10"]
    assert (old.exists(), young.exists()) == (False, True)


def test_a_workdir_of_an_unset_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for work in (lambda: train(config_(), ""), lambda: load(""), lambda: on_disk("")):
        with pytest.raises(ValueError, match="got an empty workdir, expected a folder"):
            work()
    assert list(tmp_path.iterdir()) == []
