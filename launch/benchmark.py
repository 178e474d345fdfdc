"""Measures the library on this machine, against PyTorch, the reference and the machine's limits.

    python launch/benchmark.py step         # the training step against a PyTorch twin
    python launch/benchmark.py loop         # host overhead, scan, seconds to the first step
    python launch/benchmark.py data         # images a second of every source
    python launch/benchmark.py loader       # images a second from files, against torch's DataLoader
    python launch/benchmark.py devices      # what each of several devices computes and sends
    python launch/benchmark.py population   # many runs in one program
    python launch/benchmark.py metrics      # against disentanglement_lib's CPU seconds
    python launch/benchmark.py gpu --minutes=8
    python launch/benchmark.py compiled --platform=cuda   # or tpu: counts, for chips not here

All cases of a table are timed in turns, in one run; times are medians. `--json=FILE` also writes
the rows {benchmark, case, ours_ms, peer, peer_ms, speedup, floor_ms, ...}. `step` needs PyTorch:
pip install "devae_jax[bench]".
"""

import importlib

from absl import flags

from devae_jax.launch import common

BENCHMARKS = (
    "step",
    "loop",
    "data",
    "loader",
    "devices",
    "population",
    "metrics",
    "gpu",
    "compiled",
)

_JSON = flags.DEFINE_string("json", None, "Also write the rows to this file.")
_MINUTES = flags.DEFINE_float(
    "minutes",
    None,
    "About how long to measure; default 2, 8 for gpu and compiled.",
    lower_bound=0.0,
)
_TINY = flags.DEFINE_bool("tiny", False, "Smallest sizes: only to see that it works.")
_PLATFORM = flags.DEFINE_enum("platform", "cuda", ["cuda", "tpu"], "What `compiled` is for.")
_TOPOLOGY = flags.DEFINE_string("topology", "", "Chips as v5e:2x2, GPUs as 1x1x4.")
_ONLY = flags.DEFINE_string("only", "", "Cases of `compiled` with this in their names.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Cache of rendered data sets.")


def main(name: str) -> None:
    common.enable_compilation_cache()
    from devae_jax.launch.benchmarks import measure

    benchmark = importlib.import_module(f"devae_jax.launch.benchmarks.{name}")
    if name == "devices":
        benchmark.pretend()
    if name == "compiled":
        benchmark.prepare()
    minutes = (
        _MINUTES.value
        if _MINUTES.value is not None
        else 8.0
        if name in ("gpu", "compiled")
        else 2.0
    )
    where = measure.machine()
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    where_for = (_PLATFORM.value, _TOPOLOGY.value, _ONLY.value)
    rows = benchmark.run(measure.Options(_TINY.value, minutes, _DATA_DIR.value, *where_for))
    print(measure.table(rows))
    if _JSON.value:
        measure.write_json(_JSON.value, rows, where)


def console() -> None:
    common.run(main, commands=BENCHMARKS)


if __name__ == "__main__":
    console()
