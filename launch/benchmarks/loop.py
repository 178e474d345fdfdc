"""What the loop costs beyond its compiled steps, scans against single steps, and the start."""

import os
import subprocess
import sys
import tempfile
import time

import jax

from devae_jax.data import cache
from devae_jax.launch.benchmarks import runs
from devae_jax.launch.benchmarks.measure import Options, Row, interleave
from devae_jax.program import plan as programs
from devae_jax.training.engine import engine
from devae_jax.training.platform import Form


def run(options: Options) -> list[Row]:
    """Rows for the loop's overhead, the fused scan, and the seconds to a first step."""
    config = runs.config(options, batch=8 if options.tiny else 64, layers=1)
    plan = programs.plan(config)
    steps = 4

    def bare():
        """The compiled step called `steps` times, nothing read back."""
        program = runs.one_device(plan.program)
        state, step = jax.jit(program.start())(plan.hparams), program.compiled()
        hparams, arrays = jax.device_put((plan.hparams, plan.program.source.arrays))

        def call():
            nonlocal state
            for _ in range(steps):
                state, _ = step(hparams, state, arrays)
            jax.block_until_ready(state)

        return call

    def bound(scan):
        form = Form(scan=scan, together=False)
        one = engine(plan.program, plan.hparams, devices=jax.devices()[:1], form=form)
        return runs.stepper(one, steps)

    times = interleave(
        {"bare": bare(), "one by one": bound(False), "scan": bound(True)},
        seconds=0.5 * options.minutes * 60,
        turn=0.02 if options.tiny else 0.5,
    )

    def row(case, name, peer):
        mine, other = times[name], times[peer]
        overhead = mine.minimum / other.minimum - 1.0
        facts = {"min_overhead_percent": 100 * overhead, "cpu_ms": mine.cpu / steps}
        return Row("loop", case, mine.median / steps, peer, other.median / steps, None, facts)

    return [
        row("the loop's steps", "one by one", "bare"),
        row("scan over steps", "scan", "one by one"),
        *_starts(options),
    ]


def _starts(options: Options) -> list[Row]:
    """From the shell to a finished first step: nothing compiled before, then from the cache."""
    data_dir = options.data_dir or str(cache.folder())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "devae_jax.launch.train",
            "--config=beta_vae" + (":toy" if options.tiny else ""),
            f"--workdir={folder}/run",
            "--overwrite",
            "--noresults",
            "--config.steps=1",
            "--config.train.eval_every=0",
            f"--config.data.data_dir={data_dir}",
        ]
        for cached in ("nothing compiled", "compiled before"):
            start = time.perf_counter()
            subprocess.run(
                command,
                env=os.environ | {"XDG_CACHE_HOME": folder},
                check=True,
                capture_output=True,
            )
            elapsed = 1e3 * (time.perf_counter() - start)
            rows.append(Row("loop", f"shell to first step, {cached}", elapsed))
    return rows
