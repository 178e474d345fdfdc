"""Damaged files of a study: what is damaged is named, the rest serves, and nothing is lost."""

import gzip
import json

import pytest

from devae_jax.files import FORMAT, write_json
from devae_jax.studies import given, make, rows, show
from tests.studies.test_rows import opened, trained


def test_damaged_rows_are_named_and_the_others_serve(figure2, tmp_path):
    whole = figure2.read_text().splitlines()
    row = json.loads(whole[-1])
    broken = [
        "{",
        "[1]",
        json.dumps({key: value for key, value in row.items() if key != "setting"}),
        json.dumps(row | {"value": "high"}),
        json.dumps(row | {"format": FORMAT + 1}),
    ]
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join([*broken, *whole]).encode()))
    known = given.read([str(packed)])
    assert known.damaged == [
        "packed.jsonl.gz: row 1 skipped, it is no JSON",
        "packed.jsonl.gz: row 2 skipped, it is no row",
        "packed.jsonl.gz: row 3 skipped, it lacks setting",
        "packed.jsonl.gz: row 4 skipped, its value is 'high'",
        "packed.jsonl.gz: row 5 skipped, it is in another format",
    ]
    assert given.left(opened(tmp_path, "figure4"), known, range(2)) == []
    study = opened(tmp_path, "figure4")
    printed = show.markdown(study, rows.collect(study, known))
    assert all(f"- {text}" in printed for text in known.damaged)
    packed.write_bytes(packed.read_bytes()[:-200])
    cut = given.read([str(packed)])
    assert "the end of the compressed file is damaged" in cut.damaged[0] and cut.trainings
    with pytest.raises(ValueError, match="fix the name"):
        given.read([str(tmp_path / "*.json")])


def test_damage_to_the_rows_of_the_folder_itself_is_named_and_a_copy_stays(
    figure2, tmp_path, began
):
    """They may be nowhere else: the file that they came from is gone."""
    study = opened(tmp_path / "b", "same_reconstruction")
    make.make(study, given=given.read([str(figure2)]))
    figure2.unlink()
    own = study.path / "rows.jsonl"
    first, *others = own.read_text().splitlines(keepends=True)
    own.write_text("".join([first.replace('"setting"', '"settin"'), *others]))
    before, said = own.read_bytes(), []
    known = given.read([], study.path)
    assert known.damaged == ["rows.jsonl: row 1 skipped, it lacks setting"]
    assert given.read([str(own)], study.path).damaged == known.damaged  # once
    make.make(study, given=known, say=said.append)
    copy = study.path / "rows.damaged-1.jsonl"
    assert copy.read_bytes() == before and given.rows_of(own, []) != []
    assert said == [*known.damaged, f"{own} is damaged and is written anew; {copy.name} is a copy"]
    make.make(study, given=given.read([], study.path), say=said.append)
    assert len(said) == 2 and len(list(study.path.glob("rows.*"))) == 2
    printed = show.markdown(study, rows.collect(study, known))
    assert "Damaged:\n- rows.jsonl: row 1 skipped" in printed


def test_damage_to_what_training_logged_is_named_but_for_the_end_of_a_kill(tmp_path):
    study = opened(tmp_path, "figure2")
    trained(study, 0)
    log = study.folder(0).path / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines) + '{"step": 3')
    assert rows.collect(study).damaged == []
    log.write_text("".join([*lines[:4], "{cut\n", *lines[4:]]))
    found = rows.collect(study)
    [text] = found.damaged
    assert text.startswith("beta_vae,all: row 5 of metrics.jsonl is damaged, it and later ones")
    logged = {row["step"] for row in found.rows if row["at"] and row["value"] is not None}
    assert logged == {5, 10} and len({row["seed"] for row in found.rows}) == 2


def test_a_damaged_score_is_named_and_costs_no_other_member_its_row(tmp_path):
    study = opened(tmp_path, "figure2")
    trained(study, 0)
    folder, whole = study.folder(0), study.folder(0).scores()
    program = make.Programs(study, print)

    def hurt(metric):
        changed = [dict(row) for row in whole]
        for row in changed:
            if (row["metric"], row["member"]) == (metric, 0):
                del row["value"]
        write_json(folder.path / "scores.json", changed)
        return rows.collect(study)

    found = hurt("active_units")  # of which the table has no column
    assert found.damaged == ["beta_vae,all: row 3 of scores.json skipped, it lacks value."]
    assert {row["seed"] for row in found.rows} == {0, 1} and program.has_results(0)
    found = hurt("mig")
    assert {row["seed"] for row in found.rows} == {1} and not program.has_results(0)
    before, said = (folder.path / "scores.json").read_bytes(), []
    make._mend_scores(folder, said.append)
    assert len(folder.scores()) == len(whole) - 1 and len(said) == 1
    assert (folder.path / "scores.damaged-1.json").read_bytes() == before
    make._mend_scores(folder, said.append)
    assert len(said) == 1
