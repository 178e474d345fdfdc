"""A study's page: runs called as its table calls them, runs that are rows, what is not there."""

import re
from html import unescape

import pytest

from devae_jax.studies import given, make, rows, shown
from tests.launch.commands import call
from tests.studies.test_rows import opened, trained


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Figure 4, for which DynamicVAE was trained and DeVAE was given as rows of figure 2."""
    path = tmp_path_factory.mktemp("studies")
    figure2 = opened(path / "figure2", "figure2")
    trained(figure2, 3)
    rows.write(figure2, rows.collect(figure2).rows)
    study = opened(path / "figure4", "figure4", seeds=3)
    make._write_study(study)
    trained(study, 0)
    folder, config = study.folder(0), study.programs[0].config
    (folder.path / "config.json").write_text(config.to_json_best_effort())
    about = {"method": "dynamic_vae", "data": {"name": "toy"}}
    folder.write_scores([row | about for row in folder.scores()])
    known = given.read([str(path / "figure2" / "rows.jsonl")])
    rows.write(study, rows.collect(study, known).rows)
    return study.path


def test_runs_have_the_names_and_order_of_their_table(place):
    known, command = shown.known([place])
    assert known.title.startswith("Figure 4") and known.title.endswith("preset smoke")
    assert command == f"python launch/reproduce.py figure4 --preset=smoke --workdir={place}"
    labels = list(dict.fromkeys(label for label, _ in known.labels.values()))
    assert labels == ["DynamicVAE", "DeVAE"]
    assert [(m.label, m.seed, m.run) for m in known.members] == [
        ("DeVAE", 0, "figure2: devae,all"),
        ("DeVAE", 1, "figure2: devae,all"),
    ]
    first = known.members[0]
    assert first.value("mig") == 0.5 and len(first.history) == 4 and first.complete
    assert first.data == "toy" and first.settings["model.latents"] == "dit"
    assert known.missing == ["figure4, not finished, seed 2: DeVAE"]


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_the_page_and_the_table_have_them(place, pattern):
    page = place.parent / "page.html"
    printed = call("report", f"--runs={place}{pattern}", f"--html={page}")
    assert "| DynamicVAE | 3 |" in printed
    text = page.read_text()
    assert "<h1>Figure 4" in text and "launch/reproduce.py figure4" in text
    lines = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", text)
    assert [label for _, label in lines] == ["DynamicVAE"] * 3 + ["DeVAE"] * 2
    missing = [unescape(found) for found in re.findall(r"<li>(.*?)</li>", text)]
    assert any("not finished, seed 2: DeVAE" in found for found in missing), missing


def test_a_study_that_has_not_begun_says_what_it_lacks(tmp_path):
    study = opened(tmp_path / "table2", "table2")
    make._write_study(study)
    page = tmp_path / "page.html"
    call("report", f"--runs={study.path}/*", f"--html={page}")
    text = page.read_text()
    assert "There are no runs here yet." in text and "not finished, seeds 0, 1: " in text
    folder = study.folder(0).path  # where training has just begun, and written no row
    folder.mkdir()
    (folder / "config.json").write_text(study.programs[0].config.to_json_best_effort())
    call("report", f"--runs={study.path}/*", f"--html={page}")
    lines = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", page.read_text())
    assert [label for _, label in lines] == [m.line.label for m in study.of_program(0)]
    (study.path / "study.json").write_text("{")
    call("report", f"--runs={study.path}/*", f"--html={page}")
    assert "table2: no study that can be read" in page.read_text()


def test_a_run_that_two_studies_of_a_table_have_is_shown_once(tmp_path):
    """One trained it, the other was given its rows; so was a third of another table."""
    first = opened(tmp_path / "first", "figure4")
    make._write_study(first)
    trained(first, 0)
    rows.write(first, rows.collect(first).rows)
    known = given.read([str(first.path / "rows.jsonl")])
    others = [opened(tmp_path / "second", "figure4"), opened(tmp_path / "third", "figure2")]
    for study in others:
        make._write_study(study)
        rows.write(study, rows.collect(study, known).rows)
    second, third = (study.path for study in others)
    assert not shown.known([first.path, second])[0].members
    once = [(m.label, m.seed) for m in shown.known([second, second])[0].members]
    assert once == [("DynamicVAE", 0), ("DynamicVAE", 1)]
    labels = {m.label for m in shown.known([first.path, second, third])[0].members}
    assert labels == {"dSprites: DynamicVAE"}
