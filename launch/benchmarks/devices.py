"""What each device computes and sends when a batch is split over several: counts, not times.

The compiled step of the published DeVAE (K = 3, 64 x 64 pixels, batch 256) on fake CPU devices,
as XLA counts it. A step that is split well costs each of N devices little more than 1 / N.
"""

import re
import time
from collections import Counter
from typing import Any

import jax

from devae_jax.launch.benchmarks import runs
from devae_jax.launch.benchmarks.measure import Options, Row
from devae_jax.program import plan as programs
from devae_jax.training.engine import MODES, Steps, mesh_of

COUNTS = (1, 2, 4, 8)
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def pretend() -> None:
    """Makes this process have as many CPU devices as are needed; before JAX is first used."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(COUNTS))


def run(options: Options) -> list[Row]:
    """A row for each convolution, mode and number of devices.

    `of_one_device` is a device's arithmetic, a fraction of that of the step on one device.
    """
    counts = COUNTS[:2] if options.tiny else COUNTS
    if len(jax.devices()) < max(counts):
        raise ValueError(
            f"got {len(jax.devices())} devices, expected {max(counts)} fake ones; use "
            "launch/benchmark.py devices"
        )
    cases = [(convolution, mode) for convolution in ("native", "fast") for mode in MODES]
    if options.tiny:
        cases = [("fast", "jit"), ("native", "pmap")]
    return [row for case in cases for row in _rows(options, *case, counts)]


def _rows(options: Options, convolution: str, mode: str, counts: tuple[int, ...]) -> list[Row]:
    networks = {"model.encoder": "conv", "model.decoder": "conv"}
    changes = {**networks, "model.convolution": convolution}
    config = runs.config(options, batch=8 if options.tiny else 256, layers=3, **changes)
    plan = programs.plan(config)
    rows: list[Row] = []
    alone = 0.0
    for count in counts:
        start = time.perf_counter()
        steps = Steps(plan.program, mesh_of(jax.devices()[:count], mode=mode), mode)
        compiled = steps.lower(plan.hparams).compile()
        seconds = time.perf_counter() - start
        flops = gigaflop(compiled)
        alone = alone or flops
        facts = {"GFLOP": flops, "of_one_device": flops / alone, "compile_s": seconds}
        facts |= collectives(compiled.as_text())
        rows.append(Row("devices", f"{convolution}, {mode}, {count} devices", None, facts=facts))
    return rows


def gigaflop(compiled: Any) -> float:
    """Of one device in one call of a compiled program, as XLA counts it."""
    return compiled.cost_analysis()["flops"] * 1e-9


def collectives(text: str) -> dict[str, int]:
    """How many of each kind there are in a compiled program's text."""
    found = Counter(re.findall(rf" ({'|'.join(COLLECTIVES)})(?:-start)?\(", text))
    return dict(found)
