"""RESULTS.md: its tables are those of the rows in results/; rows of many studies in one file."""

import gzip
import json
from pathlib import Path

import pytest

from devae_jax.studies import given, make, results, rows
from tests.launch.commands import call
from tests.studies.test_rows import opened, trained

ROOT = Path(__file__).resolve().parents[2]


def lines_of(file):
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


@pytest.fixture
def studies(tmp_path):
    """Figure 2 with two methods; figure 4, which was given one of them and trained the other."""
    first = opened(tmp_path / "runs" / "figure2", "figure2")
    make._write_study(first)
    for number in (0, 3):
        trained(first, number)
    rows.write(first, rows.collect(first).rows)
    second = opened(tmp_path / "runs" / "figure4", "figure4")
    make._write_study(second)
    trained(second, 0, value=0.25)
    known = given.read([str(first.path / "rows.jsonl")])
    rows.write(second, rows.collect(second, known).rows)
    return tmp_path


def test_rows_of_many_studies_go_into_one_file_each_run_once(studies):
    to = studies / "smoke.jsonl.gz"
    printed = call("results", "gather", f"--runs={studies}/runs/*", f"--to={to}")
    found = lines_of(to)
    assert f"{len(found)} rows of 6 runs, of 2 studies" in printed
    assert {(row["study"], row["line"], row["source"]) for row in found} == {
        ("figure2", "dSprites: β-VAE (β = 6)", None),
        ("figure2", "dSprites: DeVAE", None),
        ("figure4", "DynamicVAE", None),
    }
    names = ("setting", "metric", "layer", "protocol", "at")
    assert len({tuple(row[name] for name in names) for row in found}) == len(found)
    # Machines go, the file stays: what it has is kept, and what a study was given.
    first, second = (studies / "runs" / name for name in ("figure2", "figure4"))
    first.rename(studies / "gone")
    (second / "study.json").rename(second / "gone.json")
    again = studies / "again.jsonl.gz"
    call("results", "gather", f"--rows={to}", f"--to={again}")
    assert lines_of(again) == found
    (second / "gone.json").rename(second / "study.json")
    third = studies / "third.jsonl.gz"
    call("results", "gather", f"--runs={studies}/runs/*", f"--to={third}")
    assert {row["study"] for row in lines_of(third)} == {"figure2", "figure4"}
    assert "--to=a.csv" in call("results", "gather", "--to=a.csv", code=2)


def test_a_file_of_rows_is_not_replaced_by_one_that_lacks_runs(studies):
    """A slip in a name, studies of another machine, a damaged file: nothing is written."""
    to = studies / "kept.jsonl.gz"
    at = ["results", "gather", f"--to={to}"]
    call(*at, f"--runs={studies}/runs/*")
    whole, before = to.read_bytes(), lines_of(to)
    assert "expected folders of studies" in call(*at, f"--runs={studies}/typo/*", code=2)
    assert "typo" in call(*at, f"--runs={studies}/typo/*", f"--rows={to}", code=2)
    assert "neither --runs nor --rows" in call(*at, code=2)
    refused = call(*at, f"--runs={studies}/runs/figure4", code=2)
    assert "with 2 runs that would be lost" in refused and f"add --rows={to}" in refused
    assert to.read_bytes() == whole
    call(*at, f"--runs={studies}/runs/figure4", f"--rows={to}")
    assert {row["setting"] for row in lines_of(to)} == {r["setting"] for r in before}
    for damaged in (whole[:-200], b"a note of mine\n"):
        to.write_bytes(damaged)
        for rows_too in ([], [f"--rows={to}"]):
            refused = call(*at, f"--runs={studies}/runs/*", *rows_too, code=2)
            assert "move it away" in refused and to.read_bytes() == damaged


def test_the_training_with_most_scores_is_taken(tmp_path):
    """Figure 4's training of DeVAE lacks a score that figure 2's has."""
    for name, number in (("figure2", 3), ("figure4", 1)):
        study = opened(tmp_path / name, name, seeds=1)
        make._write_study(study)
        trained(study, number)
        if name == "figure4":
            kept = [r for r in study.folder(number).scores() if r["metric"] != "active_units"]
            study.folder(number).write_scores(kept)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.json").write_text("{")
    folders = [tmp_path / name for name in ("figure4", "figure2", "other")]
    found, damaged = results.gathered(folders)
    assert {row["study"] for row in found} == {"figure2"}
    assert len(damaged) == 1 and damaged[0].startswith("other: no study that can be read")


def test_the_page_has_every_table_and_keeps_what_is_between(studies, monkeypatch):
    some = ["figure2", "figure4", "figure5", "table1"]
    monkeypatch.setattr(results.table, "names", lambda: some)
    at = [f"--rows={studies}/smoke.jsonl.gz", f"--page={studies}/RESULTS.md"]
    call("results", "gather", f"--runs={studies}/runs/*", f"--to={studies}/smoke.jsonl.gz")
    call("results", "page", *at)
    page = studies / "RESULTS.md"
    text = page.read_text()
    assert "<!-- table figure4 smoke -->\n## Figure 4" in text
    assert "<!-- table figure5" not in text and "<!-- table table1" not in text  # no such runs
    for needed in (
        "devae-reproduce figure4 --preset=smoke",
        "| dSprites: DeVAE | MIG | 2 | 1.00 ± 0.71",
        "2 runs for figure4 on 1 x cpu by devae_jax 0.2.0: 2.0 minutes, 1.0 a run (DynamicVAE)",
        "Missing, 10 of 16 runs:",
    ):
        assert needed in text, needed
    # A number typed by hand is replaced, prose is kept, and the page stays as it is.
    head, tail = text.split("<!-- table figure4 smoke -->")
    prose = "What I think of figure 4.\n\n"
    page.write_text(f"{head}{prose}<!-- table figure4 smoke -->{tail}".replace("1.00 ±", "9.99 ±"))
    call("results", "page", *at)
    assert page.read_text() == f"{head}{prose}<!-- table figure4 smoke -->{tail}"


@pytest.mark.parametrize("damage", ["no figure4", "a damaged row"])
def test_a_page_loses_no_table_to_rows_that_lack_it(studies, monkeypatch, damage):
    monkeypatch.setattr(results.table, "names", lambda: ["figure2", "figure4"])
    whole, page = studies / "whole.jsonl", studies / "page.md"
    call("results", "gather", f"--runs={studies}/runs/*", f"--to={whole}")
    call("results", "page", f"--rows={whole}", f"--page={page}")
    before = page.read_text()
    lines = whole.read_text().splitlines()
    if damage == "no figure4":
        lines, said = [], "no rows of "
    else:
        lines[0], said = lines[0][:-1], "bad.jsonl: row 1 skipped, it is no JSON"
    (studies / "bad.jsonl").write_text("".join(f"{line}\n" for line in lines))
    text = call("results", "page", f"--rows={studies}/bad.jsonl", f"--page={page}", code=2)
    assert f"error: got {said}" in text and page.read_text() == before


def test_the_page_of_this_repository_is_that_of_its_rows():
    files, page = sorted(ROOT.glob(results.ROWS)), ROOT / "RESULTS.md"
    if not files and not page.exists():
        pytest.skip("no study's rows are kept yet")
    known = given.read(map(str, files))
    assert not known.damaged
    text = page.read_text()
    assert results.page(text, results.tables(known, files[0].parent)) == text
