"""Eight fake CPU devices and strict numerics for the whole suite."""

import os

# Tests run each program a few times: compiling it fast matters more than running it fast.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One data cache for the whole session."""
    return tmp_path_factory.mktemp("cache")
