"""Fair timings on a shared machine, and rows that say what was measured where."""

import functools
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from devae_jax.files import write_json as write

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


class Timing(NamedTuple):
    """Milliseconds of one call: wall time, and processor time of all threads (median)."""

    median: float
    minimum: float
    cpu: float


class Row(NamedTuple):
    """One line of a benchmark; `facts` are further numbers of the case by name.

    ours_ms is None where nothing was timed: where the facts are counts.
    """

    benchmark: str
    case: str
    ours_ms: float | None
    peer: str = ""
    peer_ms: float | None = None
    floor_ms: float | None = None
    facts: Mapping[str, float | str] = {}

    def fields(self) -> dict[str, Any]:
        """{benchmark, case, ours_ms, peer, peer_ms, speedup, floor_ms, and the facts}."""
        named = {name: getattr(self, name) for name in self._fields[:5]}
        speedup = self.peer_ms / self.ours_ms if self.peer_ms and self.ours_ms else None
        return named | {"speedup": speedup, "floor_ms": self.floor_ms} | dict(self.facts)


class Options(NamedTuple):
    """How a benchmark runs.

    tiny: smallest sizes, to see that it works; its numbers mean nothing
    minutes: when to end
    data_dir: cache of rendered tables
    platform, topology: what `compiled` compiles for
    only: part of the names of the cases that `compiled` compiles
    """

    tiny: bool = False
    minutes: float = 2.0
    data_dir: str | None = None
    platform: str = "cuda"
    topology: str = ""
    only: str = ""


def interleave(
    cases: Mapping[str, Callable[[], Any]], *, seconds: float, turn: float = 0.3
) -> dict[str, Timing]:
    """Times of all cases, taken in turns, so that a busy moment of the machine hits all alike.

    A turn is one untimed call, which brings caches and threads back, then calls for about
    `turn` seconds. Each case is called once before anything is timed, and has three turns at
    least; a case's numbers are of the means of its turns.
    """
    once = {}
    for name, call in cases.items():
        call()
        start = time.perf_counter()
        call()
        once[name] = time.perf_counter() - start
    walls: dict[str, list[float]] = {name: [] for name in cases}
    cpus: dict[str, list[float]] = {name: [] for name in cases}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(walls[name]) < 3:
        for name, call in cases.items():
            repeats = max(1, round(turn / once[name]))
            call()
            start, busy = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                call()
            walls[name].append((time.perf_counter() - start) / repeats * 1e3)
            cpus[name].append((time.process_time() - busy) / repeats * 1e3)
    return {
        name: Timing(
            statistics.median(walls[name]), min(walls[name]), statistics.median(cpus[name])
        )
        for name in cases
    }


def matmul(size: int, precision: str = "float32") -> tuple[Callable[[], Any], float]:
    """A square matrix product of float32 numbers to time, and its GFLOP."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(functools.partial(jnp.matmul, precision=precision))
    return lambda: product(matrix, matrix).block_until_ready(), 2e-9 * size**3


def copy(size: int) -> tuple[Callable[[], Any], float]:
    """A device copy of `size` float32 numbers to time, and the GB it reads and writes."""
    numbers = jnp.ones((size,))
    negate = jax.jit(jnp.negative)
    return lambda: negate(numbers).block_until_ready(), 8e-9 * size


def machine() -> dict[str, str]:
    """Where this runs: processor or accelerator, cores, and versions of what is compared."""
    device = jax.devices()[0]
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": _processor() if device.platform == "cpu" else device.device_kind,
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(rows: Sequence[Row]) -> str:
    """The rows as text, facts behind them."""
    head = ["case", "ours ms", "peer", "peer ms", "speed-up", "floor ms", ""]
    lines = [head]
    for row in rows:
        cells = row.fields()
        numbers = [_number(cells[name]) for name in ("ours_ms", "peer_ms", "speedup", "floor_ms")]
        facts = ", ".join(f"{k} {_number(v)}" for k, v in row.facts.items())
        lines.append([row.case, numbers[0], row.peer, *numbers[1:], facts])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = (0, 2, 6)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _number(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def write_json(path: str, rows: Sequence[Row], where: Mapping[str, str]) -> None:
    """A list of rows, each with the machine it comes from; all of it or nothing."""
    write(path, [row.fields() | {"machine": dict(where)} for row in rows], indent=1)
