"""Disentangled representation learning with DeVAE and the methods it is compared to.

run = devae_jax.load("runs/quickstart")
posterior = run.encode(images)
images = run.decode(posterior.mean[0], layer=0)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devae_jax.run import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `load` needs orbax and flax, which take a second to import.
    if name == "load":
        from devae_jax.run import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
