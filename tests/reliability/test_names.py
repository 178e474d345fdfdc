"""Names from elsewhere, of runs, methods, factors and files: shown, never obeyed."""

import html.parser
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from devae_jax.evaluation import tables
from devae_jax.launch import common
from devae_jax.viz import explorer
from devae_jax.viz.draw import draw_all
from devae_jax.viz.report import report
from tests.viz.test_drawing import score, world

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><svg/onload=alert(1)>",
    "$\\frac{$",
    "$\\badcommand$ $$",
    "a\nb\tc\x1b[31m\x00",
    "\u202egnp.exe",
    "../../etc/passwd",
    "",
    "x" * 500,
)


class Reader(html.parser.HTMLParser):
    """What a browser finds in a page: elements with the names of their attributes, and scripts."""

    def __init__(self, page):
        super().__init__()
        self.found, self.scripts = set(), []
        self._kind = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.add((tag, *sorted(name for name, _ in attrs)))
        self._kind = dict(attrs).get("type", "javascript") if tag == "script" else None
        for name, value in attrs:
            assert name not in ("src", "href") or value.startswith(("data:image/", "#"))

    def handle_endtag(self, tag):
        self._kind = None

    def handle_data(self, data):
        if self._kind == "javascript":
            self.scripts.append(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_pages_escape_every_name(name):
    def page(name):
        rows = [score("mig", 0.3, floor=0.1), score(name, 0.2), score("sap", 0.1, protocol=name)]
        config = {name: {name: name}, "list": [name], "nested": {"a": name}}
        about = {"config": config, "layer_labels": [name], "subtitle": name, "note": name}
        return Reader(report(name, [], scores=rows, **about))

    assert page(name).found <= page("harmless").found
    assert page(name).scripts == page("harmless").scripts


@pytest.mark.filterwarnings("ignore:Glyph")
def test_figures_of_hostile_names_are_drawn(tmp_path):
    names = HOSTILE[:-1]
    mi = np.random.default_rng(0).uniform(size=(2, len(names)))
    rows = [{"step": t, "loss": 1.0, "eval/mi": [mi.tolist()]} for t in (1, 2)]
    given = world(1, 2, 1) | {"factors": names, "layer_labels": names[4:5], "mi": mi, "rows": rows}
    given["scores"] = [score(name, 0.3, floor=0.1, ceiling=0.9) for name in names]
    paths = draw_all(tmp_path, title=names[0], subtitle=names[1], **given)
    assert {path.parent for path in paths.values()} == {tmp_path}
    assert len(paths) == 9
    page = Reader(paths["report.html"].read_text())
    assert page.scripts == [explorer.SCRIPT]
    assert not {tag for tag, *_ in page.found} & {"svg", "iframe", "object", "embed", "base"}
    assert not {name for _, *names in page.found for name in names if name.startswith("on")}


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_stay_tables(name):
    row = {"representation": "mean", "layer": 0, "protocol": "dlib", "metric": "mig", "value": 1.0}
    row |= {"run": "a", "member": None, "seed": 0, "step": 1, "settings": {}, "data": {}}
    table = tables.markdown(tables.by_method([row | {"method": name}], ["mig"]))
    assert len(table.splitlines()) == 3
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {4}
    assert all(c.isprintable() for c in table.replace("\n", ""))


def test_messages_do_not_steer_a_terminal(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr(common.sys, "stderr", told)
    common.tell("got a\x1b[2Jb\x07\x00 of two\n  lines | ä")
    assert told.getvalue() == "error: got a?[2Jb?? of two\n  lines | ä\n"


def test_a_reader_that_has_seen_enough(tmp_path):
    """`devae-train --list | head -1`, the reader gone before anything is written."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "devae_jax.launch.train", "--list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (common.EXIT_PIPE, "")


def test_metrics_named_by_a_file_are_refused_in_one_line():
    row = {"representation": "mean", "layer": 0, "protocol": "dlib", "metric": "mig", "value": 1.0}
    row |= {"run": "a", "member": None, "seed": 0, "step": 1, "settings": {}, "data": {}}
    with pytest.raises(ValueError, match="got metric"):
        tables.by_method([row | {"method": "m"}], ["<b>"])
    assert np.isfinite(tables.by_method([row | {"method": "m"}], ["mig"])["m"]["mig"]).all()
