"""Nothing grows in a long run but the rows."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_four_thousand_steps(tmp_path):
    command = [sys.executable, "-m", "tests.reliability.long_run", str(tmp_path / "run"), "4000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    early, late, most = found["early"], found["late"], found["most"]
    assert late["memory"] < early["memory"] + 30
    assert late["files"] <= early["files"] + 8  # of a checkpoint being written
    assert late["threads"] <= early["threads"] + 8
    assert late["row"] == pytest.approx(early["row"], rel=0.05)
    assert most["checkpoints"] <= 4  # three, and one before the oldest goes
    assert most["events"] < 300 * found["rows"]
