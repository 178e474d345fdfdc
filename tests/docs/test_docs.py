"""What the documentation says: its code runs, what it quotes and names is there."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devae_jax.metrics.registry import METRICS
from tests.launch.commands import call
from tests.test_structure import ALLOWED, GROUND

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "README.md"]
BLOCK = re.compile(r"^```python(?: title=\"([^\"\n]+)\")?\n(.*?)^```$", re.M | re.S)
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.M)
PICTURE = re.compile(r"!\[(.*?)\]\((.*?)\)")
PATH = re.compile(r"`((?:devae_jax|configs|launch|tests|docs|\.ci)/[\w./]*)(?::\w+)?`")


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(page):
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("name", ["tutorial", "numbers", "own", "studies"])
def test_code_runs(name, tmp_path, monkeypatch):
    """All code of a page that quotes no file, in its order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("docs", "results"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(METRICS)
    page = ROOT / "docs" / f"{name}.md"
    code = [text for title, text in blocks(page) if not title]
    assert code
    names: dict = {}
    try:
        for text in code:
            exec(compile(text, str(page), "exec"), names)
    finally:
        for new in METRICS.keys() - before:
            del METRICS[new]
        for module in ("config", "metric"):  # of docs/examples/own_method
            sys.modules.pop(module, None)


def test_quotes_are_in_their_files():
    quoted = 0
    for page in PAGES:
        for title, text in blocks(page):
            if title:
                source = (ROOT / title).read_text()
                assert SNIPPET.findall(text) in ([], [title]), page
                lines = SNIPPET.sub("", text).splitlines()
                assert all(line in source.splitlines() for line in lines if line.strip()), title
                quoted += 1
    assert quoted > 8


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_files_that_are_named_exist(page):
    missing = [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_pictures_are_there_small_and_told_in_words(page):
    for words, name in PICTURE.findall(page.read_text()):
        picture = page.parent / name
        assert len(words) > 20 and picture.stat().st_size < 300_000, name


def test_the_readme_has_pictures():
    assert len(PICTURE.findall((ROOT / "README.md").read_text())) >= 2


def rows_of(page, head):
    """The cells of the table of a page that starts with this line."""
    text = (ROOT / "docs" / page).read_text()
    lines = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_metric_has_its_line_in_protocols():
    table = {
        row[0].strip("`"): (row[2], row[3] or None)
        for row in rows_of("protocols.md", "| Name | Source | Protocol |")
    }
    assert table == {name: (metric.protocol, metric.exact) for name, metric in METRICS.items()}
    text = (ROOT / "docs" / "protocols.md").read_text()
    sentence = text[text.index("`--metrics=all`") :].split("\n\n")[0]
    extra = {name for name, metric in METRICS.items() if metric.group == "extra"}
    assert set(re.findall(r"`(\w+)`", sentence)) == extra


def test_import_rules_are_those_that_are_tested():
    parts = [part for part in ALLOWED if part not in (*GROUND, "__init__")]
    told = {}
    for names, allowed in rows_of("map.md", "| Part | May import, besides the ground |"):
        for part in names.split(", "):
            told[part] = set() if allowed == "nothing" else set(allowed.split(", "))
    assert told == {part: set(ALLOWED[part]) for part in parts}


def test_api_pages_name_modules():
    named = re.findall(r"^::: (\S+)", "\n".join(p.read_text() for p in PAGES), re.M)
    assert named and all(importlib.util.find_spec(name) for name in named)
    assert len(set(named)) == len(named)


def test_every_page_is_in_the_site():
    site = (ROOT / "mkdocs.yml").read_text()
    assert all(str(page.relative_to(ROOT / "docs")) in site for page in PAGES)


def test_code_outside_the_package_trains_and_loads_when_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "own"
    flags = ["--config=docs/examples/own_method/config.py", f"--workdir={folder}"]
    flags += ["--config.steps=50", "--config.train.eval_every=0", "--config.parallel.devices=1"]
    call("train", *flags, "--config.objective.terms.price.weight=3.0", "--noresults")
    monkeypatch.chdir(tmp_path)  # the saved config has absolute paths
    scored = ["evaluate", f"--workdir={folder}", "--metrics=mig", "--seeds=1"]
    refused = call(*scored, code=2)
    assert "data.py:bars" in refused and "method.py:dependence" in refused and "--trust" in refused
    assert not (folder / "scores.json").exists()
    assert "mig" in call(*scored, "--trust")


def test_a_table_outside_the_package_plans(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    table = ["reproduce", "docs/examples/own_table.py", f"--workdir={tmp_path}/own"]
    for size, steps in (("smoke", "20"), ("cpu", "3,000")):
        planned = call(*table, f"--preset={size}", "--plan")
        programs = [line for line in planned.splitlines() if not line.startswith(" ")]
        assert programs == [
            f"program {i + 1}/3: {name},all: {steps} steps"
            for i, name in enumerate(("config", "devae", "beta_vae"))
        ]


def test_scripts_of_the_ci_can_run():
    for path in (ROOT / ".ci").iterdir():
        if path.suffix == ".txt":  # what a script wrote
            continue
        assert os.access(path, os.X_OK), path
        assert path.read_text().startswith("#!/usr/bin/env ")


def test_reliability_counts_the_tests_that_there_are():
    """Where a row of the table says how many tests its command runs."""
    row = re.compile(r"\| (\d+) tests[^|]*\|.*\| `pytest (tests/\S+\.py)(?: -k (\w+))?` \|")
    found = row.findall((ROOT / "RELIABILITY.md").read_text())
    files = sorted({file for _, file, _ in found})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    names = done.stdout.splitlines()
    assert len(found) > 5
    for number, file, word in found:
        mine = [name for name in names if name.startswith(f"{file}::") and word in name]
        assert len(mine) == int(number), f"{file} {word}"
