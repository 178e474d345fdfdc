"""The entry points as a user runs them: separate processes, signals, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAST = ["--config.train.log_every=10", "--config.train.checkpoint_every=20"]
FAST += ["--config.train.eval_every=0", "--config.train.tensorboard=false"]


def command(script, *flags):
    return [sys.executable, str(ROOT / "launch" / script), *map(str, flags)]


def launch(script, *flags, code=0):
    done = subprocess.run(
        command(script, *flags), capture_output=True, text=True, env=environment(), timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment():
    return os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": os.environ["DEVAE_TEST_COMPILED"],
    }


def train_flags(workdir, steps):
    config = ROOT / "configs" / "devae.py"
    return [f"--config={config}:toy", f"--workdir={workdir}", f"--config.steps={steps}", *FAST]


def wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("launch") / "whole"
    launch("train.py", *train_flags(path, 400))
    return path


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_killed_and_restarted_run_equals_an_uninterrupted_one(whole, tmp_path, number, code):
    path = tmp_path / "run"
    process = subprocess.Popen(
        command("train.py", *train_flags(path, 100_000)), env=environment(), stderr=subprocess.PIPE
    )
    wait_for(path / "checkpoints" / "40")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    reached = max(int(p.name) for p in (path / "checkpoints").iterdir() if p.name.isdigit())
    assert reached < 100_000
    # Going on to 400 or, on a fast machine, as far as it came.
    if reached < 400:
        launch("train.py", *train_flags(path, 400))
    rows = (path / "metrics.jsonl").read_text().splitlines()[:40]
    assert rows == (whole / "metrics.jsonl").read_text().splitlines()


def test_evaluate_and_visualize(whole):
    table = launch("evaluate.py", f"--workdir={whole}", "--metrics=mig,kl", "--layers=all")
    assert "mig" in table
    rows = json.loads((whole / "scores.json").read_text())
    assert {row["layer"] for row in rows} == {0, 1, 2}
    keys = {"run", "member", "step", "layer", "representation", "protocol", "metric", "value"}
    assert all(keys <= row.keys() for row in rows)
    migs = [row["value"] for row in rows if row["metric"] == "mig"]
    assert max(migs) - min(migs) < 1e-6  # the layers differ by positive scalings of their axes
    launch("visualize.py", f"--workdir={whole}")
    names = {path.name for path in (whole / "figures").iterdir()}
    assert {"traversals_layer0.gif", "reconstructions.png", "report.html"} <= names


def test_list_prints_every_method():
    from devae_jax.objectives import METHODS

    text = launch("train.py", "--list")
    assert all(name in text and method.config in text for name, method in METHODS.items())


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config.objective.terms.kl.betas=(1.0,40.0,10.0)"], "decremental"),
        (["--config.objective.terms.kl.betas=(1.0,10.0)"], "num_layers=3"),
        (["--config.objective.terms.kl.betas=(0.0,1.0,2.0)"], "expected > 0"),
        (["--config.model.latent_dim=0"], "latent_dim"),
        (["--config.batch_size=100000"], "batch_size"),
        (["--config.data.name=dsprite_regen"], "did you mean"),
        (["--config.model.encoder=convv"], "did you mean"),
        (["--config.parallel.mode=pmapp"], "parallel.mode"),
        (["--config.parallel.devices=7"], "parallel.devices"),
        (["surplus"], "expected only --flags"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, flags, message):
    text = launch("train.py", *train_flags(tmp_path / "run", 10), *flags, code=2)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--config.optimizer.learning_rte=1", "learning_rate"),
        (f"--config={ROOT / 'configs' / 'bta_vae.py'}", "did you mean"),
        (f"--config={ROOT / 'configs' / 'devae.py'}:smapled", "did you mean 'sampled'"),
        ("--config.steps=many", "invalid literal"),
        ("--overwite", "overwrite"),
    ],
)
def test_bad_flags_end_in_one_line(tmp_path, flag, told):
    text = launch("train.py", *train_flags(tmp_path, 10), flag, code=2)
    assert told in text
    assert len(text.splitlines()) == 1


def test_sweep_trains_scores_and_goes_on(tmp_path):
    flags = [f"--config={ROOT / 'configs' / 'sweeps' / 'toy.py'}", f"--workdir={tmp_path}"]
    flags += ["--config.steps=50", "--config.train.eval_every=0"]
    assert "2 members" in launch("sweep.py", *flags, "--plan")
    launch("sweep.py", *flags)
    for folder in ("latent_dim=2", "latent_dim=4"):
        rows = json.loads((tmp_path / folder / "scores.json").read_text())
        assert {(row["member"], row["seed"]) for row in rows} == {(0, 0), (1, 1)}
    assert "step 50/50" not in launch("sweep.py", *flags)  # finished programs are not run again
