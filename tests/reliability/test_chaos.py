"""Runs that are killed at random moments end as one that never was."""

import json
import subprocess
import sys

import pytest


def ended(folder, kills, *words):
    command = [sys.executable, "-m", "tests.reliability.chaos", str(folder), str(kills), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["kills"] >= kills
    assert found["same"] == found["runs"]


def test_ten_kills(tmp_path):
    ended(tmp_path, 10, "0")


@pytest.mark.slow
def test_two_hundred_kills(tmp_path):
    ended(tmp_path, 200, "1")


@pytest.mark.slow
def test_ten_kills_of_runs_that_train_score_and_draw(tmp_path):
    ended(tmp_path, 10, "2", "real")
