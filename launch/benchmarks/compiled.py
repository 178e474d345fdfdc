"""The step compiled for hardware that need not be here: counts, and a predicted time.

`--platform=cuda` compiles for H100 SXM GPUs with jax's CUDA plugin, `--platform=tpu` for v5e chips
with libtpu. Nothing runs, no driver is needed. "predicted ms" is the floor that the counts set:
all bytes at the stated bandwidth, or all arithmetic at the stated peak if that is longer, and the
start of every kernel. It is no measurement. The efficiency predicted on N devices is that of N
times the batch, with one all-reduce of the gradients at the stated speed, not overlapped.
"""

import importlib.util
import os
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from devae_jax.launch.benchmarks import devices, hlo, runs
from devae_jax.launch.benchmarks.measure import Options, Row
from devae_jax.names import unknown
from devae_jax.program import plan as programs
from devae_jax.training.engine import Steps, mesh_of
from devae_jax.training.platform import AT_ONCE, Form, form_of, precision_on
from devae_jax.types import TrainState

H100 = """
gpu_device_info { threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84978434048 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 } registers_per_core_limit: 65536
  registers_per_block_limit: 65536 }
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
HEAVIEST = 8  # instructions printed
STEPS = 10  # in the loop of a program; the counts are of one
COUNTS = (8, 64, 256)  # devices that efficiency is predicted for


class Chip(NamedTuple):
    """A device and its compiler; rates as its maker publishes them, dense arithmetic.

    compilers: Python packages of which one is needed
    topologies: names that can be asked for, the smallest first
    bytes_s: of its memory
    flops: by precision, a second
    node: devices that share the faster links
    link_s, far_s: bytes a second that a device sends in a node, and beyond
    start_s: seconds that a kernel costs however small
    """

    compilers: tuple[str, ...]
    topologies: tuple[str, ...]
    bytes_s: float
    flops: Mapping[str, float]
    node: int
    link_s: float
    far_s: float
    start_s: float


CHIPS = {
    # NVLink in a node of eight, 400 Gb/s a GPU beyond.
    "cuda": Chip(
        compilers=("jax_cuda12_plugin", "jax_cuda13_plugin"),
        topologies=("1x1x1", "1x1x2", "1x1x4", "1x1x8"),
        bytes_s=3.35e12,
        flops={"float32": 67e12, "tensorfloat32": 494e12, "bfloat16": 989e12},
        node=8,
        link_s=450e9,
        far_s=50e9,
        start_s=2e-6,
    ),
    # Three and six passes of bfloat16 make the other two; a program is one start.
    "tpu": Chip(
        compilers=("libtpu",),
        topologies=("v5e:1x1", "v5e:2x2", "v5e:2x4", "v5e:4x4", "v5e:8x8", "v5e:16x16"),
        bytes_s=819e9,
        flops={"float32": 197e12 / 6, "tensorfloat32": 197e12 / 3, "bfloat16": 197e12},
        node=256,
        link_s=200e9,
        far_s=200e9,
        start_s=0.0,
    ),
}
_FUSED: dict[str, object] = {"model.convolution": "fused"}
_LOW: dict[str, object] = {"model.dtype": "bfloat16"}


class Case(NamedTuple):
    """A program: members (0: one run), K, what its config changes, and how members compute.

    form: None: as on its platform
    """

    members: int
    layers: int
    changes: Mapping[str, object] = MappingProxyType({})
    form: Form | None = None

    def settings(self, target: list[Any]) -> dict[str, object]:
        return {"matmul_precision": precision_on(target[0].platform), **self.changes}

    def name(self, platform: str, target: list[Any]) -> str:
        who = f"{self.members} members" if self.members else "one run"
        what = [str(value) for value in self.settings(target).values()]
        if self.form is not None:
            what.append("at once" if self.form.batched else "in turn")
        return f"{len(target)} x {platform}, {who}, K = {self.layers}, {', '.join(what)}"


# The most telling first; cases that time does not allow are named.
CASES: Mapping[str, tuple[Case, ...]] = {
    "cuda": (
        Case(0, 1),
        Case(0, 1, _FUSED),
        Case(0, 3),
        Case(0, 3, _FUSED),
        Case(16, 1),
        Case(16, 1, _FUSED),
        Case(16, 1, _FUSED, AT_ONCE),
        Case(0, 1, _LOW),
        Case(0, 1, _LOW | _FUSED),
        Case(0, 3, _LOW),
        Case(0, 3, _LOW | _FUSED),
        Case(64, 1, _FUSED),
        Case(16, 3, _FUSED),
        Case(16, 3, _FUSED, AT_ONCE),
        Case(64, 3, _FUSED),
        Case(0, 1, {"model.convolution": "native"}),
        Case(0, 1, {"matmul_precision": "float32"}),
        Case(0, 1, _FUSED | {"matmul_precision": "float32"}),
    ),
    "tpu": (
        Case(0, 3),
        Case(0, 1),
        Case(16, 1),
        Case(16, 3),
        Case(16, 1, form=AT_ONCE),
        Case(64, 1),
        Case(64, 3),
    ),
}


def missing(platform: str) -> str | None:
    """Why nothing can be compiled for a platform here; None if it can."""
    names = CHIPS[platform].compilers
    if any(importlib.util.find_spec(name) for name in names):
        return None
    return f"{' or '.join(names)} is not installed; pip install 'devae_jax[{platform}]'"


def prepare() -> None:
    """Makes this process compile for others; before JAX is first used."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0"  # there is nothing to tune on
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_compilation_cache_dir", None)  # what is kept cannot be read back


def topology(platform: str, name: str = "") -> list[Any]:
    """The devices of a topology in CHIPS; default the smallest.

    Raises:
      ValueError: no compiler for the platform here, or no such topology.
    """
    known = CHIPS[platform].topologies
    name = name or known[0]
    if name not in known:
        raise unknown("--topology", name, known)
    reason = missing(platform)
    if reason:
        raise ValueError(
            f"got --platform={platform}, expected one whose compiler is here: {reason}"
        )
    from jax.experimental import topologies

    if platform == "cuda":
        found = topologies.get_topology_desc(
            topology_name="h100", platform="cuda", topology=name, target_config=H100
        )
    else:
        # A host holds 2 x 2 chips if nothing is said, which one chip does not divide.
        host = {"chips_per_host_bounds": (1, 1, 1)} if name == known[0] else {}
        found = topologies.get_topology_desc(topology_name=name, platform="tpu", **host)
    return list(found.devices)


def run(options: Options) -> list[Row]:
    """A row for each program; between them the heaviest instructions with their sources."""
    target = topology(options.platform, options.topology)
    end = time.perf_counter() + 60 * options.minutes
    cases = CASES[options.platform][: 1 if options.tiny else None]
    named = {case.name(options.platform, target): case for case in cases}
    chosen = [name for name in named if options.only in name]
    if not chosen:
        raise ValueError(f"got --only={options.only}, expected a part of: {'; '.join(named)}")
    rows: list[Row] = []
    for name in chosen:
        if rows and time.perf_counter() > end:
            print(f"left out for lack of time: {name}")
            continue
        rows.append(Row("compiled", name, None, facts=_facts(options, target, named[name])))
    return rows


class Compiled(NamedTuple):
    """A program for devices that need not be here, and what went in."""

    plan: programs.Plan
    steps: Steps
    state: TrainState  # shapes
    program: Any


def compiled(
    target: list[Any],
    config: Any,
    members: int = 0,
    form: Form | None = None,
    length: int | None = STEPS,
) -> Compiled:
    """A config's program for devices, as the engine makes it; of another form if it is given."""
    plan = programs.plan(config, [{"seed": seed} for seed in range(members)])
    hparams = programs.stacked(plan) if members else plan.hparams
    count = members or None
    batched = (form or form_of(target[0])).batched
    steps = Steps(plan.program, mesh_of(target, count), "jit", count, length, batched)
    return Compiled(plan, steps, steps.abstract(hparams), steps.lower(hparams).compile())


def _facts(options: Options, target: list[Any], case: Case) -> dict[str, float | str]:
    """What is counted of a case; prints its heaviest instructions."""
    chip = CHIPS[options.platform]
    batch, settings, members = 8 if options.tiny else 256, case.settings(target), case.members
    config = runs.config(options, batch=batch, layers=case.layers, **settings)
    start = time.process_time()
    made = compiled(target, config, members, case.form)
    seconds = time.process_time() - start
    text, memory = made.program.as_text(), made.program.memory_analysis()
    found = hlo.kernels(text)
    # Members of a device that one step of the program is of.
    each = -(-(members or 1) // made.steps.mesh.shape["member"]) if made.steps.batched else 1
    shards = made.steps.mesh.shape["data"]
    gigaflop = each / shards * runs.gigaflop(config, made.plan.dataset.image_shape)
    size = sum(one.size for one in found)
    low = config.model.dtype == "bfloat16"
    precision = "bfloat16" if low else str(settings["matmul_precision"])
    floor = max(size / chip.bytes_s, 1e9 * gigaflop / chip.flops[precision])
    predicted = floor + len(found) * chip.start_s
    facts: dict[str, float | str] = {
        "kernels": len(found),
        "GB a member": size * 1e-9 / each,
        "GFLOP": gigaflop,
        "temporary MB": memory.temp_size_in_bytes * 1e-6,
        "argument MB": memory.argument_size_in_bytes * 1e-6,
        "compile CPU s": seconds,
        "predicted ms a member": 1e3 * predicted / each,
    }
    facts |= {f"convolution {kind}": n for kind, n in hlo.convolutions(found).items()}
    facts |= devices.collectives(text)
    if not members:  # members send nothing
        facts |= _efficiencies(chip, made.state, predicted)
    for one in sorted(found, key=lambda one: -one.size)[:HEAVIEST]:
        print(f"{one.size * 1e-6:10.1f} MB  {one.name:42} {one.source[:110]}")
    return facts


def _efficiencies(chip: Chip, state: TrainState, seconds: float) -> dict[str, float]:
    """Of N devices: the time of a step alone over that with an all-reduce of the gradients."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.params))
    found = {}
    for count in COUNTS:
        sent = 2 * (count - 1) / count * size  # by each device of a ring
        speed = chip.link_s if count <= chip.node else chip.far_s
        found[f"predicted efficiency on {count}"] = seconds / (seconds + sent / speed)
    return found
