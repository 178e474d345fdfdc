"""What of a study is done, running and by whom, failed, and left; nothing is trained."""

import pytest

from devae_jax.runs.folder import Folder
from devae_jax.runs.sweep import Record
from devae_jax.studies import make
from devae_jax.studies.given import Given
from devae_jax.studies.status import status
from tests.launch.commands import call

FLAGS = ["figure2", "--preset=smoke", "--seeds=2"]
ROW = {
    "step": 20,
    "layer": 0,
    "representation": "mean",
    "protocol": "dlib",
    "value": 0.5,
    "seed": 0,
}
ROW |= {"method": "devae", "settings": {}, "data": {}}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Eight programs of two members; the first is done, the second trained and scored in part."""
    monkeypatch.setattr(Folder, "finished", lambda self, config, members: True)
    monkeypatch.delattr("devae_jax.program.sweep.fitting")  # who only looks compiles nothing
    found = make.opened(tmp_path, "figure2", "smoke", seeds=2, fit=False)
    every = [column.score for column in found.table.columns]
    for number, scores in enumerate((every, every[:1])):
        folder = found.folder(number)
        (folder.path / "checkpoints" / "20").mkdir(parents=True)
        (folder.path / "checkpoints" / "20" / "file").touch()
        folder.write_scores(
            [ROW | {"member": i, "metric": name} for i in (0, 1) for name in scores]
        )
    (tmp_path / "programs").mkdir()
    return found


def test_status_says_who_is_at_what(study, tmp_path):
    programs = make.Programs(study, lambda runs: None)
    programs.write(0, Record(state="done", seconds=60.0, trained=40))
    programs.write(2, Record(state="failed", error="out of memory"))
    with programs.taken(3):
        lines = call("reproduce", *FLAGS, f"--workdir={tmp_path}", "--status").splitlines()
    names = [program.name for program in study.programs]
    assert lines[0] == (
        "16 members in 8 programs: 1 done, 1 running, 1 stopped, 4 waiting, 1 failed"
    )
    assert lines[1] == f"program 1/8 {names[0]}: done, 2 members"
    assert lines[2] == f"program 2/8 {names[1]}: stopped, 2 members, step 20 of 20"
    assert lines[3] == f"program 3/8 {names[2]}: failed, 2 members: out of memory"
    assert lines[4].startswith(f"program 4/8 {names[3]}: running, 2 members, by process ")
    assert lines[-1] == "time left: about 5.0 minutes, with 1 at work"  # 200 steps at 1.5 s
    assert not (tmp_path / "rows.jsonl").exists() and not (tmp_path / "study.json").exists()


def test_what_given_rows_have_is_not_left(study):
    columns = study.table.columns
    rows = [{"metric": c.score, "layer": c.layer, "at": None} for c in columns]
    served = {member.setting: [rows] for member in study.of_program(7)}
    lines = status(study, Given(served))
    assert lines[0].startswith("14 members in 7 programs: ")
    assert not any(line.startswith("program 8/8") for line in lines)
    assert lines[-1] == f"in the given rows: {study.programs[7].name}"
