"""Eight fake CPU devices and strict numerics for the whole suite."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One data cache for the whole session."""
    return tmp_path_factory.mktemp("cache")
