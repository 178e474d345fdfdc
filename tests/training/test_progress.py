"""What a person sees of a run."""

import io
import sys

import numpy as np
import pytest

from devae_jax.training import progress
from devae_jax.training.progress import Progress, summary

ROW = {"step": 10, "loss": 31.25, "kl": [14.0, np.nan], "reconstruction": 21.0}


def test_a_summary_names_what_is_there():
    assert summary(ROW) == "loss 31.25 | recon 21 | KL 14 -"
    rows = {"kl": np.array([[1.0, 2.0], [3.0, np.nan]]), "loss": np.array([1.0, 2.0])}
    assert summary(rows, members=2) == "loss 1.5 | KL 2 2"


@pytest.fixture
def clock(monkeypatch):
    """Seconds, as a list of one number that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_elsewhere_come_every_ten_seconds_and_at_the_end(capsys, clock):
    shown = Progress(100)
    for step, seconds in ((10, 0), (20, 9), (30, 10), (40, 19.9), (100, 20)):
        clock[0] = 1000.0 + seconds
        shown.update(step, ROW | {"eval/mig": 0.25} if step == 20 else ROW, rate=5.0)
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" | ")[0] for line in lines] == [
        "step 10/100",
        "step 30/100",
        "step 100/100",
    ]
    assert lines[0].endswith("| 5.0 steps/s | 18 s left | loss 31.25 | recon 21 | KL 14 -")
    assert lines[1].endswith("| MIG 0.25") and lines[2].endswith(
        "| 0 s left | " + summary(ROW) + " | MIG 0.25"
    )


def test_nothing_is_shown_if_it_is_not_wanted(capsys):
    shown = Progress(10, enabled=False)
    shown.update(10, ROW, rate=1.0)
    shown.close()
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Progress(100, initial=20)
    shown.update(100, ROW, rate=5.0)
    shown.close()
    text = terminal.getvalue()
    assert "20/100" in text and "100/100" in text and "recon 21" in text and "step 100/" not in text
