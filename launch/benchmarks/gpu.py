"""One accelerator in a few minutes: one run, populations, PyTorch, and the machine's ceilings.

Sections come in order of importance; one that would not end in time is left out and named.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax

from devae_jax.launch.benchmarks import runs, twin
from devae_jax.launch.benchmarks.measure import (
    Options,
    Row,
    Timing,
    copy,
    interleave,
    matmul,
    table,
)
from devae_jax.program import plan as programs
from devae_jax.training.engine import engine
from devae_jax.training.platform import ACCELERATOR, AT_ONCE

STEPS = 300_000  # of a run in the paper
RUNS = {1: 60, 3: 20}  # by K: 4 methods x 2 data sets x 10 seeds, one of the four with K = 3
GB = 1e-9
POPULATIONS = {  # how members compute in one program: convolutions and form
    "in turn": ("cells", ACCELERATOR),
    "in turn, fused ends": ("fused", ACCELERATOR),
    "at once, fused ends": ("fused", AT_ONCE),
    "in turn, native convolutions": ("native", ACCELERATOR),
    "grouped convolutions": ("native", AT_ONCE),
    "matrix products": ("fast", AT_ONCE),
}


class Bench:
    """The ceilings of this device, the rows so far and the time left."""

    def __init__(self, options: Options):
        self.options = options
        self.rows: list[Row] = []
        self.end = time.perf_counter() + 60 * options.minutes
        self.longest = 0.0
        self.seconds = 0.1 if options.tiny else 4.0
        self.batch = 8 if options.tiny else 256
        self.steps = 2 if options.tiny else 50  # a call
        self.best: dict[int, float] = {}  # K -> least ms of a member's step
        self.tflops = self.gigabytes = 0.0

    def section(self, what: str, measure: Callable[[], Iterator[Row]], factor: float = 1.2) -> None:
        """Adds the rows of `measure` if as much time is left as the longest section took."""
        start = time.perf_counter()
        if self.longest and self.end - start < factor * self.longest:
            print(f"left out for lack of time: {what}")
            return
        try:
            for row in measure():
                self.rows.append(row)
                print(table([row]).splitlines()[-1], flush=True)
        except Exception as error:  # out of memory, no compiler: the other cases still count
            reason = next(iter(str(error).splitlines()), "")[:200]
            print(f"left out: {what} ({type(error).__name__}: {reason})", flush=True)
        self.longest = max(self.longest, time.perf_counter() - start)

    def time(self, cases: dict[str, Callable[[], Any]]) -> dict[str, Timing]:
        turn = 0.02 if self.options.tiny else 0.3
        return interleave(cases, seconds=self.seconds * len(cases), turn=turn)

    def plan(self, layers: int, changes: Mapping[str, object], members: int = 0):
        """Config and plan of beta-VAE (K = 1) or DeVAE (K = 3)."""
        settings: dict[str, Any] = {"matmul_precision": "tensorfloat32", **changes}
        config = runs.config(self.options, batch=self.batch, layers=layers, **settings)
        return config, programs.plan(config, [{"seed": seed} for seed in range(members)])


def run(options: Options) -> list[Row]:
    """Rows of one step of one member; `floor_ms` is its arithmetic at the speed of a GEMM.

    Products are in TF32 on both sides unless a case says otherwise.
    """
    bench = Bench(options)
    bench.section("ceilings", lambda: _ceilings(bench))
    singles = [(1, "sum"), (3, "sampled"), (3, "sum")][: 2 if options.tiny else 3]
    for layers, how in singles:
        bench.section(f"one run, K = {layers}, {how}", lambda: _one(bench, layers, how))  # noqa: B023
    sizes = [(size, layers) for size in (16, 64, 4, 1) for layers in (1, 3)]
    for size, layers in [(2, 3)] if options.tiny else sizes:
        for case in POPULATIONS if size == 16 or options.tiny else ("in turn",):
            bench.section(
                f"{size} members, K = {layers}, {case}",
                functools.partial(_population, bench, layers, size, case),
            )
    fused = {"model.convolution": "fused"}  # "auto" is "cells"
    others: list[tuple[int, dict[str, str]]] = [
        (1, fused),
        (3, fused),
        (1, {"model.convolution": "native"}),
        (1, {"matmul_precision": "float32"}),
        (1, {"model.dtype": "bfloat16"}),
        (1, {"model.dtype": "bfloat16", **fused}),
    ]
    for layers, changes in others:
        changed = functools.partial(_one, bench, layers, "sum", changes=changes)
        bench.section(f"one run, K = {layers}, {', '.join(changes.values())}", changed)
    if _torch_device(options) == "cuda":
        bench.section("torch.compile", lambda: _one(bench, 1, "sum", compiled=True), factor=2.0)
    if bench.best.keys() == RUNS.keys():
        bench.rows += _projection(bench)
    return bench.rows


def _ceilings(bench: Bench) -> Iterator[Row]:
    tiny = bench.options.tiny
    product, gigaflop = matmul(256 if tiny else 8192, "tensorfloat32")
    copied, gigabyte = copy(1 << (16 if tiny else 28))
    times = bench.time({"gemm": product, "copy": copied})
    bench.tflops = gigaflop / times["gemm"].minimum
    bench.gigabytes = 1e3 * gigabyte / times["copy"].minimum
    yield Row("gpu", "TF32 GEMM", times["gemm"].median, facts={"TFLOP/s": bench.tflops})
    yield Row("gpu", "copy", times["copy"].median, facts={"GB/s": bench.gigabytes})


def _one(
    bench: Bench,
    layers: int,
    how: str,
    *,
    compiled: bool = False,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Row]:
    """One run, its steps scanned, against the twin on the same batch where PyTorch has the device.

    The twin sums over layers, in TF32; it is no peer of a sampled one or of other precisions.
    """
    config, plan = bench.plan(layers, {"objective.layers": how, **changes})
    bound = engine(plan.program, plan.hparams, devices=jax.devices()[:1])
    cases: dict[str, Callable[[], Any]] = {"ours": runs.stepper(bound, bench.steps)}
    device = _torch_device(bench.options)
    peer = ""
    if device and how == "sum" and not changes:
        peer = f"torch {'compiled' if compiled else 'eager'}"
        step = _peer(bench, plan.program, layers, config, device, compiled)
        cases[peer] = lambda: step(bench.steps)
    times = bench.time(cases)
    ours = times["ours"].median / bench.steps
    facts = _facts(bench, config, plan, ours, layers if how == "sum" else 1)
    facts["xla_GB/s"] = _gigabytes(plan) / ours * 1e3
    if how == "sum" and not changes:
        bench.best[layers] = min(ours, bench.best.get(layers, ours))
    peer_ms = times[peer].median / bench.steps if peer else None
    case = ", ".join([f"one run, batch {bench.batch}, K = {layers}, {how}", *changes.values()])
    yield Row("gpu", case, ours, peer, peer_ms, facts.pop("floor_ms"), facts)


def _population(bench: Bench, layers: int, members: int, case: str) -> Iterator[Row]:
    """`members` runs in one program; the time is that of a member's step."""
    convolution, form = POPULATIONS[case]
    config, plan = bench.plan(layers, {"model.convolution": convolution}, members)
    bound = engine(
        plan.program,
        programs.stacked(plan),
        members=members,
        devices=jax.devices()[:1],
        form=form,
    )
    steps = max(2 if bench.options.tiny else 8, bench.steps // members)
    times = bench.time({"ours": runs.stepper(bound, steps)})
    ours = times["ours"].median / steps / members
    alone = bench.best.get(layers)
    facts = _facts(bench, config, plan, ours, layers)
    bench.best[layers] = min(ours, alone or ours)
    case = f"{members} members, K = {layers}, {case}"
    yield Row("gpu", case, ours, "best so far", alone, facts.pop("floor_ms"), facts)


def _facts(bench: Bench, config, plan, ours: float, decoded: int) -> dict[str, Any]:
    gigaflop = runs.gigaflop(config, plan.dataset.image_shape, decoded)
    memory = jax.devices()[0].memory_stats() or {}  # the CPU keeps none
    facts = {"steps/s": 1e3 / ours, "TFLOP/s": gigaflop / ours}
    facts["floor_ms"] = gigaflop / bench.tflops
    if "peak_bytes_in_use" in memory:
        facts["peak_GB_so_far"] = memory["peak_bytes_in_use"] * GB
    return facts


def _gigabytes(plan) -> float:
    """What one compiled step reads and writes, as XLA counts it: without library calls."""
    cost = runs.one_device(plan.program).lower(plan.hparams).compile().cost_analysis() or {}
    return cost.get("bytes accessed", math.nan) * GB


def _torch_device(options: Options) -> str | None:
    """Where the twin can run: on CUDA, on the CPU if tiny, or nowhere."""
    try:
        torch = twin.load_torch()
    except ValueError:
        return None
    return "cuda" if torch.cuda.is_available() else "cpu" if options.tiny else None


def _peer(bench: Bench, program, layers: int, config, device: str, compiled: bool):
    """The twin's steps on a fixed batch: no cost of data. Same precision: TF32 for float32."""
    torch = twin.load_torch()
    torch.set_float32_matmul_precision("high")
    step = twin.stepper(
        runs.images_of(program),
        runs.BETAS[:layers],
        width=config.model.width,
        device=device,
        compiled=compiled,
    )

    if device == "cpu":
        twin.choose_threads(step)

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return steps


def _projection(bench: Bench) -> Sequence[Row]:
    """The 80 runs of the paper's Figure 2, each K at the best rate measured above."""
    total = STEPS * sum(RUNS[layers] * bench.best[layers] for layers in RUNS)
    return [Row("gpu", "80 runs x 300,000 steps", total, facts={"hours": total / 3.6e6})]
