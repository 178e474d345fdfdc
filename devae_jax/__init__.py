"""Disentangled representation learning with DeVAE and the methods it is compared to.

run = devae_jax.train({"method": "vae", "objective": {"terms": {...}}}, "runs/mine")
run = devae_jax.load("runs/quickstart")
posterior = run.encode(images)
images = run.decode(posterior.mean[0], layer=0)
"""

from typing import TYPE_CHECKING, Any

from devae_jax.allocator import keep_freed_memory

if TYPE_CHECKING:
    from devae_jax.runs.run import load as load
    from devae_jax.runs.train import train as train

__version__ = "0.2.0"

keep_freed_memory()  # here, as it is of no use once JAX has devices


def __getattr__(name: str) -> Any:
    # These need orbax and flax, which take a second to import.
    if name == "load":
        from devae_jax.runs.run import load

        return load
    if name == "train":
        from devae_jax.runs.train import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
