"""The entry points, as a process of their own or, where the process is not the point, in this."""

import contextlib
import io
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
QUICK = [  # every event of a run, often enough to see it
    "--config.train.log_every=10",
    "--config.train.checkpoint_every=20",
    "--config.train.eval_every=0",
    "--config.train.tensorboard=false",
    "--config.parallel.devices=1",
]


def train_flags(workdir, steps: int) -> list[str]:
    """DeVAE on the toy data."""
    return ["--config=devae:toy", f"--workdir={workdir}", f"--config.steps={steps}", *QUICK]


def free_port() -> int:
    """For the coordinator of a job on loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(script: str, *arguments, cwd=None) -> subprocess.Popen:
    """`python launch/SCRIPT.py ...`, on the way; its output can be read."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / f"{script}.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": os.environ["DEVAE_TEST_COMPILED"]},
    )


def process(script: str, *arguments, code: int = 0, cwd=None) -> str:
    """What the script prints as a process of its own, which must end with `code`."""
    running = start(script, *arguments, cwd=cwd)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == code, output
    return output


def call(script: str, *arguments, code: int = 0) -> str:
    """What the script prints when its file is run here as `__main__`; as `process`."""
    app.define_help_flags()
    defined = set(flags.FLAGS)
    path = str(ROOT / "launch" / f"{script}.py")
    printed = io.StringIO()
    # A config file is loaded into the module of the one before, and would have what it lacks.
    sys.modules.pop("config_config", None)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            mock.patch.object(sys, "argv", [path, *map(str, arguments)]),
            # The tests keep what they compile.
            mock.patch("devae_jax.launch.common.enable_compilation_cache"),
        ):
            runpy.run_path(path, run_name="__main__")
        ended = 0
    except SystemExit as exit:
        ended = exit.code or 0
    finally:
        for name in set(flags.FLAGS) - defined:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
    assert ended == code, printed.getvalue()
    return printed.getvalue()
