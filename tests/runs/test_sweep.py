"""A sweep's folder: its manifest, its programs taken by one process each, failures, status."""

import json
import os
import threading
import time
from types import SimpleNamespace

import pytest

from devae_jax import files
from devae_jax.configs import devae
from devae_jax.program import sweep as planning
from devae_jax.runs import manifest, status, sweep
from devae_jax.runs.folder import Folder

AXES = (("model.latent_dim", (2, 3, 4, 5)), ("seed", (0, 1)))


def opened(path, axes=AXES, at_once=0, overwrite=False, **changes):
    config = devae.get_config("toy")
    config.update({"steps": 100} | changes)
    options = {"at_once": at_once, "overwrite": overwrite, "say": lambda _: None}
    return sweep.opened(path, config, axes, **options)


@pytest.fixture
def trained(monkeypatch):
    """Programs "train" in a moment and are then finished; what was trained, in order."""
    done = []

    def train(found, number, note):
        time.sleep(0.02)
        done.append(number)
        return "done"

    monkeypatch.setattr(sweep, "_trained", train)
    monkeypatch.setattr(sweep.Sweep, "finished", lambda self, number: number in done)
    monkeypatch.setattr(sweep, "WAIT", 0.01)
    return done


def drain(found, numbers=None, **options):
    numbers = range(len(found.programs)) if numbers is None else numbers
    return sweep.drain(found, numbers, say=lambda _: None, **options)


def test_the_manifest_lists_members_with_seeds_and_numbers(tmp_path):
    opened(tmp_path, at_once=1)
    saved = json.loads((tmp_path / "sweep.json").read_text())
    assert [program["name"] for program in saved["programs"]][:2] == [
        "latent_dim=2,part=0",
        "latent_dim=2,part=1",
    ]
    assert saved["programs"][1]["members"] == [{"member": 0, "seed": 1, "numbers": {"seed": 1}}]
    # Another machine, whatever its memory, trains the same programs.
    assert len(opened(tmp_path).programs) == 8
    assert len(opened(tmp_path, steps=200).programs) == 8  # the same sweep, longer


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"axes": (("seed", (0, 1)),)}, "of another sweep.*axes"),
        ({"batch_size": 32}, "of another sweep.*batch_size: 64 -> 32"),
        ({"at_once": 1}, "of another sweep.*at_once"),
    ],
)
def test_the_folder_of_another_sweep_is_refused(tmp_path, changes, message):
    before = opened(tmp_path, batch_size=64) and (tmp_path / "sweep.json").read_text()
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, **{"batch_size": 64} | changes)
    assert (tmp_path / "sweep.json").read_text() == before


def test_a_sweep_of_settings_has_a_manifest_and_is_shared(tmp_path, trained):
    settings = [{"model.latent_dim": 2, "seed": 4}, {"objective.scale": 0.5}, {"seed": 4}]
    found = opened(tmp_path, settings)
    saved = json.loads((tmp_path / "sweep.json").read_text())
    assert saved["axes"] == settings
    assert [program["members"] for program in saved["programs"]] == [
        [{"member": 0, "seed": 4, "numbers": {"seed": 4}}],
        [
            {"member": 0, "seed": 0, "numbers": {"objective.scale": 0.5}},
            {"member": 1, "seed": 4, "numbers": {"seed": 4}},
        ],
    ]
    with found.taken(0):  # by another process, which opens the same settings
        assert drain(opened(tmp_path, settings), wait=False) == {} and trained == [1]
    assert status.status(found)[0].startswith("3 members in 2 programs: ")
    for other in (settings[:2], settings[::-1], AXES):
        with pytest.raises(ValueError, match=r"of another sweep.*axes"):
            opened(tmp_path, other)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"digest": ""}', "changed"])
def test_a_damaged_manifest_is_refused(tmp_path, damage):
    opened(tmp_path)
    path = tmp_path / "sweep.json"
    changed = path.read_text().replace('"seed": 1', '"seed": 2')
    path.write_text(changed if damage == "changed" else damage)
    with pytest.raises(ValueError, match=r"damaged .*sweep\.json, expected the manifest"):
        opened(tmp_path)


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    axes = (("optimizer.learning_rate", (1, 1.0)),)
    with pytest.raises(ValueError, match="the same run as member 0 of all"):
        opened(tmp_path, axes)
    assert not (tmp_path / "sweep.json").exists()


def test_the_folder_of_a_run_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="with a run, expected the folder of a sweep"):
        opened(tmp_path)


def test_who_writes_the_manifest_second_reads_the_first(tmp_path):
    """Both looked when there was none."""
    first = opened(tmp_path)
    saved = manifest.read(tmp_path)
    manifest.publish(tmp_path, saved)
    with pytest.raises(ValueError, match="of another sweep"):
        manifest.publish(tmp_path, saved | {"at_once": dict.fromkeys(saved["at_once"], 1)})
    assert len(first.programs) == 4


def test_many_drain_one_sweep_and_each_program_is_trained_once(tmp_path, trained):
    def work():
        assert drain(opened(tmp_path)) == {}

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(trained) == [0, 1, 2, 3]


def test_what_a_dead_process_left_is_taken_and_what_a_living_one_trains_is_waited_for(
    tmp_path, trained
):
    found = opened(tmp_path)
    with found.taken(0):
        assert drain(found, wait=False) == {} and sorted(trained) == [1, 2, 3]
        owner = json.loads((tmp_path / "programs" / "0000.lock").read_text())
    dead = owner | {"id": "other", "born": "1"}
    (tmp_path / "programs" / "0000.lock").write_text(json.dumps(dead))
    assert drain(found) == {} and 0 in trained


def test_a_shard_trains_its_own(tmp_path, trained):
    found = opened(tmp_path)
    first, count = planning.shard("1/3")
    drain(found, range(first, 4, count))
    assert trained == [1]


@pytest.mark.parametrize("text", ["5/4", "4/4", "1", "-1/4", "a/b", "0/0", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=f"got --shard={text}, expected i/n with i from 0"):
        planning.shard(text)


def test_a_failure_is_recorded_and_tried_again_on_request(tmp_path, trained, monkeypatch, capsys):
    found, train, tries = opened(tmp_path), sweep._trained, []

    def fail(found, number, note):
        tries.append(number)
        if number == 1:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")
        return train(found, number, note)

    monkeypatch.setattr(sweep, "_trained", fail)
    assert {number: r.state for number, r in drain(found).items()} == {1: "failed"}
    assert "error: latent_dim=3: RESOURCE_EXHAUSTED: out of memory\n" in capsys.readouterr().err
    assert tries == [0, 1, 2, 3]
    assert drain(found)[1].error == "RESOURCE_EXHAUSTED: out of memory"
    assert tries == [0, 1, 2, 3]
    drain(found, retry=True)
    assert tries == [0, 1, 2, 3, 1]
    monkeypatch.setattr(sweep, "_trained", train)
    assert drain(found, retry=True) == {}


def test_a_program_that_is_refused_is_tried_by_the_next_command(tmp_path, trained, monkeypatch):
    found, train = opened(tmp_path), sweep._trained

    def refuse(found, number, note):
        raise ValueError("got parallel.devices=9, expected 0 to 1")

    monkeypatch.setattr(sweep, "_trained", refuse)
    assert drain(found, [0])[0].state == "refused"
    monkeypatch.setattr(sweep, "_trained", train)
    assert drain(found, [0]) == {}


def test_a_program_that_kills_its_process_is_given_up(tmp_path, trained):
    found = opened(tmp_path)
    for deaths in range(sweep.DEATHS):
        found.write(0, sweep.Record(state="running", deaths=deaths))
        ended = drain(found, [0])
        if deaths + 1 < sweep.DEATHS:
            assert ended == {} and trained.pop() == 0
    assert ended[0].state == "failed" and "its process died 3 times" in ended[0].error
    # One that got further in the meantime is not.
    (tmp_path / "latent_dim=2" / "checkpoints" / "40").mkdir(parents=True)
    (tmp_path / "latent_dim=2" / "checkpoints" / "40" / "file").touch()
    found.write(0, sweep.Record(state="running", step=20, deaths=2))
    assert found.reached(0) == 40
    assert drain(found, [0]) == {}


def test_a_process_that_is_killed_in_scoring_has_noted_its_training(tmp_path, monkeypatch):
    found, left = opened(tmp_path), []

    def train(config, members, path):
        (path / "checkpoints" / "100").mkdir(parents=True)
        (path / "checkpoints" / "100" / "file").touch()
        return [SimpleNamespace(step=100)]

    monkeypatch.setattr(sweep, "train_members", train)
    found.finish = lambda runs: left.append(found.record(0))
    drain(found, [0])
    (record,) = left
    assert (record.state, record.trained, record.deaths) == ("running", 200, 0)
    assert record.seconds > 0 and record.device == "8 x cpu"
    # The next process scores, and leaves what is noted.
    found.write(0, record)
    monkeypatch.setattr(sweep, "_trained", lambda found, number, note: "done")
    drain(found, [0])
    assert found.record(0)[3:5] == record[3:5] and found.record(0).device == "8 x cpu"


def test_status(tmp_path, trained):
    found = opened(tmp_path)
    assert status.status(found)[-1] == "time left: unknown until a program is finished"
    found.write(0, sweep.Record(state="done", seconds=60.0, trained=200))
    found.write(1, sweep.Record(state="failed", error="out of memory"))
    with found.taken(2):
        lines = status.status(found)
    assert lines[0] == "8 members in 4 programs: 1 running, 2 waiting, 1 failed"  # 0 has no files
    assert lines[2] == "program 2/4 latent_dim=3: failed, 2 members: out of memory"
    assert "running, 2 members, by process " in lines[3] and ", step 0 of 100" in lines[3]
    assert lines[-1] == "time left: about 3.0 minutes, with 1 at work"  # 600 steps at 0.3 s


def test_overwrite_waits_for_nobody_and_deletes_nothing_else(tmp_path):
    found = opened(tmp_path)
    run = Folder(tmp_path / "latent_dim=2")
    run.path.mkdir()
    (run.path / "config.json").write_text('{"data": {}, "model": {}, "objective": {}}')
    found.write(0, sweep.Record(state="failed"))
    with found.taken(3), pytest.raises(files.LockedError):
        found.clear()
    assert (run.path / "config.json").exists()
    found.clear()
    assert list(run.path.iterdir()) == [] and found.record(0) == sweep.Record()
    assert opened(tmp_path, batch_size=32, overwrite=True)
    with pytest.raises(ValueError, match=r"another sweep.*batch_size: 32 -> 256"):
        opened(tmp_path, batch_size=256)
    with pytest.raises(ValueError, match="a sweep that also has latent_dim=4, latent_dim=5"):
        opened(tmp_path, (("model.latent_dim", (2, 3)), AXES[1]), overwrite=True)
    (run.path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt but no config.json"):
        found.clear()


def test_what_killed_processes_left_beside_the_programs_is_removed(tmp_path):
    opened(tmp_path)
    old = [tmp_path / ".sweep.json.1.tmp", tmp_path / "programs" / ".0000.json.1.tmp"]
    young = tmp_path / "programs" / ".0001.json.2.tmp"
    for item in (*old, young):
        item.touch()
    for item in old:
        os.utime(item, (time.time() - 2 * files.DEAD,) * 2)
    opened(tmp_path)
    assert young.exists() and not any(item.exists() for item in old)
