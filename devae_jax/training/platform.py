"""What is fast on a platform: how a program is made for its devices."""

import importlib.util
import pkgutil
from typing import Any, NamedTuple

import jax


class Form(NamedTuple):
    """How a program is made for a platform.

    scan: steps are a loop inside the program, else single calls
    together: the members of a population are one program, else they take turns
    batched: in that program they compute at once, else one after another, each all its steps
    """

    scan: bool
    together: bool
    batched: bool = True


# XLA:CPU runs convolutions in a loop body many times slower than single calls, and the batched
# convolutions of many members slower than one after another. On GPUs and TPUs these move 1.5 to 2.2
# times the bytes a member of those in turn, and need 7 to 16 times the memory (`launch/benchmark.py
# compiled`): at once is no platform's form. With "fused" it is predicted to take three quarters of
# the time on a GPU, but that has not been timed: `launch/benchmark.py gpu` times both.
CPU = Form(scan=False, together=False)
ACCELERATOR = Form(scan=True, together=True, batched=False)
AT_ONCE = ACCELERATOR._replace(batched=True)
FORMS = {"cpu": CPU, "gpu": ACCELERATOR, "tpu": ACCELERATOR}


# Products of float32 matrices, and convolutions. PyTorch's own default for convolutions on a GPU is
# TF32. On a TPU anything above bfloat16 is several passes, and takes minutes to compile.
PRECISION = {"cpu": "float32", "gpu": "tensorfloat32", "tpu": "bfloat16"}
PRECISIONS = ("auto", "float32", "tensorfloat32", "bfloat16")


def precision_on(platform: str, precision: str = "auto") -> str:
    """The precision that is meant on a platform, "cpu", "gpu" or "tpu"; "auto" is its default."""
    return PRECISION.get(platform, "float32") if precision == "auto" else precision


def form_of(device: jax.Device) -> Form:
    """What is fast on a device's platform."""
    return FORMS.get(device.platform, ACCELERATOR)


def quickly(device: jax.Device) -> dict[str, Any] | None:
    """Compiler options for what runs once: XLA:CPU takes longer to optimise it than to run it."""
    return {"xla_backend_optimization_level": 0} if device.platform == "cpu" else None


def devices() -> str:
    """Those of this process, in words, "8 x NVIDIA H100 80GB HBM3"."""
    return f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"


def unused(platform: str) -> str:
    """A warning where JAX has what NVIDIA GPUs need, but sees none and took the CPU; else ""."""
    found = importlib.util.find_spec("jax_plugins")
    places = list(found.submodule_search_locations or ()) if found else []
    cuda = [name for _, name, _ in pkgutil.iter_modules(places) if name.startswith("xla_cuda")]
    if platform != "cpu" or jax.config.values["jax_platforms"] == "cpu" or not cuda:
        return ""
    return (
        f"warning: got no GPU though {cuda[0]} is installed, computing on the CPU; see nvidia-smi "
        "and CUDA_VISIBLE_DEVICES, or say JAX_PLATFORMS=cpu"
    )
