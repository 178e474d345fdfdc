"""Eight fake CPU devices and strict numerics for the whole suite."""

import gc
import os
import random
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

# Tests run each program a few times: compiling it fast matters more than running it fast. The older
# emitters compile three times faster; jaxlib 0.11 has none, and ends at a flag that it has not.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",  # what was given comes later and counts
        *["--xla_cpu_use_fusion_emitters=false"] * version("jaxlib").startswith("0.10."),
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

# Looking for cycles among what was imported, and after every 700 objects, takes a fifteenth of the
# tests' time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

# Many tests compile the same program: all processes of a session share what is compiled.
STARTED = "DEVAE_TEST_COMPILED" not in os.environ  # this process started the session
if STARTED:
    os.environ["DEVAE_TEST_COMPILED"] = tempfile.mkdtemp(prefix="devae_compiled_")
COMPILED = os.environ["DEVAE_TEST_COMPILED"]
jax.config.update("jax_compilation_cache_dir", COMPILED)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One data cache for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def programs_of_this_module():
    """JAX keeps every program that it compiled, 3 GB in the end: they go where memory is short."""
    yield
    memory = Path("/proc/self/statm")  # in pages; all workers may have a quarter of the machine's
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if memory.exists() and (
        int(memory.read_text().split()[1]) > os.sysconf("SC_PHYS_PAGES") / 4 / workers
    ):
        jax.clear_caches()
        gc.collect()


def pytest_xdist_auto_num_workers(config):
    """Workers of `-n auto`, which pytest-xdist ignores under --pdb; each compiles for itself."""
    return min(4, len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items):
    """With DEVAE_TEST_ORDER, a seed, the files in another order, and the tests of each."""
    if "DEVAE_TEST_ORDER" in os.environ:
        rng = random.Random(os.environ["DEVAE_TEST_ORDER"])
        places = {path: rng.random() for path in sorted({item.path for item in items})}
        items.sort(key=lambda item: (places[item.path], rng.random()))


def pytest_sessionfinish():
    """What `.ci/coverage` counts is kept now: a worker that takes ten seconds to end is killed."""
    if "coverage" in sys.modules and (counting := sys.modules["coverage"].Coverage.current()):
        counting.save()


def pytest_unconfigure(config):
    if STARTED:
        shutil.rmtree(COMPILED, ignore_errors=True)
