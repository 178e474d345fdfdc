"""Bad inputs at every command, as a user gives them."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_every_bad_input_is_one_line():
    command = [sys.executable, "-m", "tests.reliability.bad_inputs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    *bad, counts = done.stdout.splitlines()
    assert bad == []
    number, word = counts.split()
    assert word == "clear"
    assert int(number) > 200
