"""A study's page: every member with its link, and what is damaged, missing or mixed, in words."""

import json
import re
import shutil
from html import unescape

import numpy as np
import pytest

from devae_jax.runs import study
from devae_jax.runs.folder import Folder
from devae_jax.viz.members import Member, scores_of
from devae_jax.viz.strips import pareto
from devae_jax.viz.study import study as study_page
from tests.launch.commands import ROOT, call
from tests.viz.browser import driven, needs_chromium

HOSTILE = "<img src=x onerror='window.pwned=1'>&\" </script>"
DATA = {"name": "toy"}
SHUFFLED = [("z", 0), ("a", 3), ("b", None), ("b", 10), ("b", 2)]


def row(metric, value, **more):
    known = {"member": None, "step": 40, "layer": 0, "representation": "mean", "protocol": "dlib"}
    whose = {"method": "vae", "seed": 0, "settings": {"steps": 40}, "data": DATA, "library": "1"}
    return known | whose | {"metric": metric, "value": value} | more


def run_in(path, rows, *, config, step=40, page=True, member=()):
    """A run's folder, as training, scoring and drawing leave it."""
    (path / "figures").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    lines = [
        {"step": s, "loss": 9.0 - s / 10, "eval/mi": [[[s / 40, 0.1], [0.0, 0.2]]]} | m
        for s in range(20, step + 1, 20)
        for m in (member or [{}])
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if rows is not None:
        (path / "scores.json").write_text(json.dumps(rows))
    if page:
        (path / "figures" / "report.html").write_text("<p>")
    return path


@pytest.fixture(scope="module")
def config():
    from ml_collections import ConfigDict

    from devae_jax.configs import beta_vae
    from devae_jax.files import FORMAT

    made = beta_vae.get_config("toy")
    assert isinstance(made, ConfigDict)
    return {"format": FORMAT, **made.to_dict(), "steps": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, config):
    """Two finished seeds, one of another setting, one half finished, one population, damage."""
    path = tmp_path_factory.mktemp("a study")
    for seed, mig in ((0, 0.5), (1, 0.25)):
        rows = [row("mig", mig, seed=seed, floor=0.01, ceiling=0.9, factors=["posX", "posY"])]
        rows += [row("reconstruction_sampled", 20.0 + seed, seed=seed), row("kl", 9.0, seed=seed)]
        run_in(path / f"seed {seed}#", rows, config=config)
    other = {"settings": {"steps": 40, "model": {"latent_dim": 5}}, "library": "2"}
    rows = [row("mig", 0.75, data={"name": "shapes"}, **other), {"metric": "kl"}, "no row"]
    rows.append(row("kl", "1"))
    run_in(path / "other", [*rows, {"metric": "mi"}], config=config)
    run_in(path / "half", None, config=config, step=20, page=False)
    members = [{"member": i} for i in range(2)]
    rows = [row("mig", 0.1 * i, member=i, seed=i, method=HOSTILE) for i in range(2)]
    run_in(path / "population", rows, config=config, page=False, member=members)
    (path / "broken").mkdir()
    (path / "broken" / "config.json").write_text("{")
    with (path / "other" / "metrics.jsonl").open("a") as file:
        file.write("{cut\n")
    return path


@pytest.fixture(scope="module")
def html(folder):
    text = call("report", f"--runs={folder}/*", f"--html={folder / 'study.html'}")
    assert "page of 6 runs" in text and "| vae" in text
    return (folder / "study.html").read_text()


def test_the_page_has_every_member_and_says_what_is_missing(html):
    lines = re.findall(r"<tr><td>(.*?)</td>", html)
    assert lines == [
        "half",
        '<a href="other/figures/report.html">other</a>',
        "population,<wbr> member 0",
        "population,<wbr> member 1",
        '<a href="seed%200%23/figures/report.html">seed 0#</a>',
        '<a href="seed%201%23/figures/report.html">seed 1#</a>',
    ]
    missing = [unescape(text) for text in re.findall(r"<li>(.*?)</li>", html)]
    for text in (
        "half: at step 20 of 40, not scored, no page",
        "other: 2 rows from 2 on of scores.json skipped, it lacks",
        "other: row 3 of scores.json skipped, it is no row.",
        "other: row 4 of scores.json skipped, its value is '1'.",
        "other: row 3 of metrics.jsonl is damaged, it and later ones are skipped.",
        "Complete members without a page of their own: 2; launch/report.py --draw makes them.",
        "data sets, compare with care: toy (5); shapes (1).",
        "library versions, compare with care: 1 (4); 2 (1).",  # without that of no scores
    ):
        assert any(text in found for found in missing), (text, missing)
    assert any(found.startswith("broken: got ") for found in missing)
    assert "model.latent_dim" in html and "--html=" in html


def test_the_page_is_escaped_asks_no_network_and_shows_all(html):
    assert "<img src=x" not in html and "://" not in html
    assert not re.search(r'src="(?!data:)', html)
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "What is missing",
        "Methods",
        "Members",
        "Scores",
        "Reconstruction against MIG",
        "Learning curves",
        "Information diffusion",
        "Differences",
        "Command",
    ]
    # Errors on different data are in figures of their own.
    scores = html[html.index("<h2>Scores") : html.index("<h2>Reconstruction against")]
    assert re.findall("<h3>(.*?)</h3>", scores) == ["toy", "shapes"]
    assert 'alt="Strip plot of MIG for vae, ' in scores and "Reconstruction error (nats)" in html
    assert "not set <span" in html[html.index("<h2>Differences") :]
    assert "0.375 ± 0.177" in html and len(html) < 15_000_000


def test_the_table_without_a_page_says_what_is_mixed(folder):
    """Of versions of the scores in it: all have a MIG, "other" alone was scored by another."""
    said = "library versions, compare with care: 1 (4); 2 (1)."
    assert said in call("report", f"--runs={folder}/*", "--metrics=mig")
    assert "versions" not in call("report", f"--runs={folder}/seed*")


def test_a_study_without_runs_is_a_page_too(tmp_path):
    text = call("report", f"--runs={tmp_path}/*", f"--html={tmp_path / 'deep' / 'page.html'}")
    assert "page of 0 runs" in text
    assert "There are no runs here yet." in (tmp_path / "deep" / "page.html").read_text()
    assert "ends in .html" in call("report", "--runs=a", f"--html={tmp_path}/a.png", code=2)
    assert "no scores.json" in call("report", f"--runs={tmp_path}/*", code=2)


def test_a_folder_deleted_meanwhile_is_named(folder, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    shutil.copytree(folder / "seed 0#", gone)
    whole = Folder.config

    def config_then_nothing(self):
        config = whole(self)
        shutil.rmtree(self.path)
        return config

    monkeypatch.setattr(Folder, "config", config_then_nothing)
    missing = study.write(tmp_path / "a.html", [gone], command="c")
    assert "gone: its folder is gone." in missing
    assert "its folder is gone." in (tmp_path / "a.html").read_text()


def test_scores_that_vanish_while_they_are_read_are_named(folder, monkeypatch):
    def vanished(self, *args, **kw):
        raise FileNotFoundError(2, "No such file or directory", str(self))

    monkeypatch.setattr("pathlib.Path.read_text", vanished)
    missing = []
    assert study.lenient_scores(Folder(folder / "seed 0#"), missing) == []
    assert missing == ["seed 0#: No such file or directory while scores.json was read."]


def test_members_are_in_the_order_of_their_table():
    labels = {("w", i): (label, i) for i, label in enumerate(["b", "c", "b", "a"])}
    blank = Member("w", 0, None, "", 0, 0, {}, "", "", [], [], [])
    members = [blank._replace(label=x, seed=s) for x, s in SHUFFLED]
    found = [(m.label, m.seed) for m in study.in_order(members, labels)]
    assert found == [("b", 2), ("b", 10), ("b", None), ("a", 3), ("z", 0)]


def test_the_front_is_what_nobody_beats():
    points = np.array([[3.0, 0.9], [1.0, 0.2], [2.0, 0.1], [2.5, 0.6], [1.0, 0.3]])
    assert pareto(points).tolist() == [4, 3, 0]


@needs_chromium
def test_sorting_filtering_and_links_in_a_browser(html, tmp_path):
    found = driven(
        html,
        """
        const table = document.querySelector('table.members');
        const names = () => [...table.tBodies[0].rows].filter(row => !row.hidden)
          .map(row => row.cells[0].textContent);
        const heads = [...table.tHead.rows[0].cells];
        const mig = heads.find(head => head.textContent === 'MIG');
        const out = {}, click = head => head.querySelector('button').click();
        click(mig); out.up = names(); out.sort = mig.getAttribute('aria-sort');
        click(mig); out.down = names();
        click(heads[0]); out.byName = names(); out.old = mig.getAttribute('aria-sort');
        const filter = document.getElementById('filter');
        filter.value = 'SEED 1'; filter.dispatchEvent(new Event('input')); out.some = names();
        out.count = document.getElementById('count').textContent;
        out.links = [...table.querySelectorAll('a')].map(a => a.href.split('/').slice(-3)[0]);
        out.pwned = 'pwned' in window;
        return out;
        """,
        tmp_path,
    )
    assert found["errors"] == [] and found["pwned"] is False
    up = ["population, member 0", "population, member 1", "seed 1#", "seed 0#", "other", "half"]
    assert found["up"] == up and found["sort"] == "ascending" and found["old"] == "none"
    assert found["down"] == [*up[-2::-1], "half"]  # what was not measured stays last
    assert found["byName"][0] == "half" and found["some"] == ["seed 1#"]
    assert found["count"] == "1 of 6" and set(found["links"]) == {
        "other",
        "seed%200%23",
        "seed%201%23",
    }


def test_a_page_of_numbers_alone():
    member = Member("r", None, None, "vae", 0, 1, {}, "toy", "1", [row("kl", None)], [], [])
    assert scores_of([member]) == []
    text = study_page([member, member], title=HOSTILE, command=HOSTILE)
    assert "members differ in their seed alone" in text and "<img src=x" not in text


def test_members_that_are_complete_get_pages_of_their_own(tmp_path):
    """Drawn for real, once; a run that cannot be drawn is named, and the page is made."""
    run, page = tmp_path / "run", tmp_path / "study.html"
    shutil.copytree(ROOT / "tests" / "fixtures" / "run_format2", run)
    shutil.copytree(run, tmp_path / "broken", ignore=shutil.ignore_patterns("checkpoints"))
    text = call("report", f"--runs={tmp_path}/*", f"--html={page}", "--draw")
    assert "broken was not drawn: got workdir=" in text
    links = re.findall(r'<a href="(.*?/report.html)">', page.read_text())
    assert links == ["run/figures/report.html"] and (tmp_path / links[0]).exists()
    before = (tmp_path / links[0]).stat().st_mtime_ns
    call("report", f"--runs={run}", f"--html={page}", "--draw")
    assert (tmp_path / links[0]).stat().st_mtime_ns == before
