"""Bad inputs at every command, as a user gives them."""

import json
import os
import subprocess
import sys

import pytest

from tests.launch.commands import call, process, start, train_flags
from tests.reliability import bad_inputs


@pytest.mark.slow
def test_every_bad_input_is_one_line():
    command = [sys.executable, "-m", "tests.reliability.bad_inputs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    *bad, counts = done.stdout.splitlines()
    assert bad == []
    number, word = counts.split()
    assert word == "clear"
    assert int(number) > 250


@pytest.mark.parametrize("name", bad_inputs.FILES)
def test_a_config_file_that_is_none_is_one_line_that_names_it(tmp_path, name):
    """It does not parse, import or run, or gives no config or no sweep."""
    (tmp_path / name).write_text(bad_inputs.FILES[name])
    command = "sweep" if name.startswith("sweep") else "train"
    flags = [f"--config={tmp_path / name}", f"--workdir={tmp_path / 'new'}"]
    text = call(command, *flags, code=2)
    assert bad_inputs.outcome(2, text) == "clear", text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("more", [[], ["--config.steps=3"]])
@pytest.mark.parametrize("name", ["asserts.py", "opens.py"])
def test_what_ends_in_a_config_file_is_named_with_its_line(tmp_path, name, more):
    (tmp_path / name).write_text(bad_inputs.FILES[name])
    flags = [f"--config={tmp_path / name}", f"--workdir={tmp_path / 'new'}", *more]
    text = call("train", *flags, code=2)
    kind = {"asserts.py": "AssertionError", "opens.py": "FileNotFoundError"}[name]
    assert f"got {tmp_path / name}, line 3: {kind}" in text, text


@pytest.mark.parametrize("flag", ["--metrics=migg", "--protocol=x", "--layer=9"])
def test_a_report_of_what_nothing_has_is_one_line(tmp_path, flag):
    (tmp_path / "scores.json").write_text(json.dumps([bad_inputs.ROW]))
    text = call("report", f"--runs={tmp_path}", flag, code=2)
    assert bad_inputs.outcome(2, text) == "clear" and flag.split("=")[1] in text


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["tpuu", "cuda"])
def test_a_platform_that_is_not_there_is_one_line(tmp_path, monkeypatch, platform):
    """JAX knows no tpuu, and leaves out cuda where no GPU is visible."""
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    running = start("train", *train_flags(tmp_path / "run", 10))
    text, _ = running.communicate(timeout=120)
    assert bad_inputs.outcome(running.returncode, text) == "clear" and f"'{platform}'" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("platform, lines", [("", 1), ("cpu", 0)])
def test_a_gpu_that_is_missed_is_one_line(tmp_path, monkeypatch, platform, lines):
    """JAX has a plugin for GPUs and none to use, and nobody asked for the CPU."""
    plugin = tmp_path / "jax_plugins" / "xla_cuda12"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text = process("train", *train_flags(tmp_path / "run", 10), "--noresults")
    warning = "warning: got no GPU though xla_cuda12 is installed, computing on the CPU"
    assert text.count(warning) == lines
