"""Hyperparameters: what a factory's signature says may be set, checked and split in two.

Arguments annotated with a `Hyper` are numbers that become arrays (traced); the rest are
static. One call checks names, types, bounds and order, before anything is compiled.
"""

import inspect
import numbers
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from devae_jax.names import nearest
from devae_jax.types import Hyper


def hypers(factory: Callable) -> dict[str, Hyper]:
    """The traced arguments of a factory and their bounds."""
    found = {}
    for name, hint in typing.get_type_hints(factory, include_extras=True).items():
        for item in getattr(hint, "__metadata__", ()):
            if isinstance(item, Hyper):
                found[name] = item
    return found


def split(
    factory: Callable,
    given: Mapping[str, Any],
    where: str,
    *,
    num_layers: int = 1,
    provided: Collection[str] = (),
    any_order: bool = False,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(static arguments, numbers) for `factory` from the user's `given`.

    Args:
      where: path in the config, for messages.
      num_layers: K; a per-layer number is [K], a single value is repeated.
      provided: arguments that the caller fills in itself.
      any_order: allow per-layer numbers in any order.

    Raises:
      ValueError: unknown, missing, mistyped or out-of-bounds value.
    """
    parameters = {
        name: p for name, p in inspect.signature(factory).parameters.items() if name not in provided
    }
    for name in given:
        if name not in parameters:
            raise ValueError(
                f"got {where}.{name}, expected one of {', '.join(sorted(parameters))}"
                f"{nearest(name, parameters)}"
            )
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in given]
    if missing:
        raise ValueError(f"got no {where}.{missing[0]}, expected a value; add it to the config")
    traced = hypers(factory)
    static, values = {}, {}
    for name, parameter in parameters.items():
        value = given.get(name, parameter.default)
        if name in traced:
            values[name] = _number(value, traced[name], f"{where}.{name}", num_layers, any_order)
        elif name in given:
            static[name] = _static(value, parameter, f"{where}.{name}")
    return static, values


def _static(value: Any, parameter: inspect.Parameter, where: str) -> Any:
    """The value, if its kind is that of the annotation."""
    for kind in (bool, int, str):
        wanted = parameter.annotation in (kind, kind.__name__)
        if wanted and type(value) is not kind:
            raise ValueError(
                f"got {where}={value!r} ({type(value).__name__}), expected {kind.__name__}; fix it"
            )
    return value


def _number(value: Any, hyper: Hyper, where: str, num_layers: int, any_order: bool) -> np.ndarray:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in items):
        raise ValueError(f"got {where}={value!r}, expected a number; fix its type")
    array = np.asarray(value, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"got {where}={value!r}, expected finite numbers; fix it")
    low = hyper.lower
    if low is not None and ((array <= low) if hyper.exclusive else (array < low)).any():
        sign = ">" if hyper.exclusive else ">="
        raise ValueError(f"got {where}={value!r}, expected {sign} {low:g}; fix it")
    if not hyper.per_layer and not hyper.per_stage:
        if array.ndim:
            raise ValueError(f"got {where}={value!r}, expected one number; fix it")
        return array
    wanted = {num_layers} if hyper.order == "decreasing" and not any_order else {1, num_layers}
    if hyper.per_layer and array.size not in wanted:
        raise ValueError(
            f"got {where} with {array.size} values for model.num_layers={num_layers} latent "
            "layers, expected one a layer; fix one of the two"
        )
    if hyper.order and array.ndim and not any_order:
        steps = np.diff(array) * (1 if hyper.order == "increasing" else -1)
        if (steps <= 0).any():
            raise ValueError(
                f"got {where}={value!r}, expected {hyper.order} values (a decremental information "
                "bottleneck: every layer narrower than the one before); reorder them, or set "
                "objective.any_order=True to allow any order"
            )
    return np.atleast_1d(array) if hyper.per_stage else np.broadcast_to(array, (num_layers,)).copy()
