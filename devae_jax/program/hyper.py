"""Options of factories: what a signature says may be set, checked and split in two.

A factory is `factory(context, ...parts, *, options)`. Keyword-only arguments are options; those
annotated with a `Hyper` are numbers that become arrays (traced), the rest are static. One call
checks names, types, bounds and order, before anything is compiled.
"""

import inspect
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from devae_jax.names import nearest
from devae_jax.types import Between, Hyper


class Signature(NamedTuple):
    """The arguments of a factory.

    parts: names of what the library hands over, in order
    options: what the config may set
    hypers: how those of the options that are numbers may be set
    """

    parts: tuple[str, ...]
    options: dict[str, inspect.Parameter]
    hypers: dict[str, Hyper]


def signature(factory: Callable) -> Signature:
    """Reads a factory's arguments."""
    parts, options, hypers = [], {}, {}
    for name, parameter in inspect.signature(factory, eval_str=True).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            parts.append(name)
            continue
        options[name] = parameter
        for item in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(item, Hyper):
                hypers[name] = item
    return Signature(tuple(parts), options, hypers)


def split(
    factory: Callable,
    given: Mapping[str, Any],
    path: str,
    *,
    num_layers: int = 1,
    any_order: bool = False,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(static options, numbers) for `factory` from the user's `given`.

    Args:
      path: of these options in the config, for messages.
      num_layers: K; a per-layer number is [K], a single value is repeated.
      any_order: allow per-layer numbers in any order.

    Raises:
      ValueError: unknown, missing, mistyped or out-of-bounds value.
    """
    _, options, hypers = signature(factory)
    for name in given:
        if name not in options:
            raise ValueError(
                f"got {path}.{name}, expected one of {', '.join(sorted(options)) or 'no options'}"
                f"{nearest(name, options)}; fix the key"
            )
    static, values = {}, {}
    for name, parameter in options.items():
        if name not in given and parameter.default is parameter.empty:
            raise ValueError(f"got no {path}.{name}, expected a value; add it to the config")
        value = given.get(name, parameter.default)
        if name in hypers:
            values[name] = _number(value, hypers[name], f"{path}.{name}", num_layers, any_order)
        elif name in given:
            static[name] = _static(value, parameter.annotation, f"{path}.{name}")
    _check_ends(values, path)
    return static, values


def _static(value: Any, annotation: Any, where: str) -> Any:
    """The value, if its kind is that of the annotation, and between its bounds."""
    about: list[Any] = []
    if typing.get_origin(annotation) is Annotated:
        annotation, *about = typing.get_args(annotation)
    union = isinstance(annotation, types.UnionType)
    kinds = typing.get_args(annotation) if union else (annotation,)
    checkable = [kind for kind in kinds if kind in (bool, int, str, type(None))]
    if len(checkable) == len(kinds) and type(value) not in checkable:
        names = " or ".join("None" if k is type(None) else k.__name__ for k in checkable)
        raise ValueError(
            f"got {where}={value!r} ({type(value).__name__}), expected {names}; fix it"
        )
    for bounds in about:
        if isinstance(bounds, Between) and not bounds.least <= value <= bounds.most:
            raise ValueError(
                f"got {where}={value!r}, expected {bounds.least} to {bounds.most}; fix it"
            )
    return value


def _check_ends(values: Mapping[str, np.ndarray], path: str) -> None:
    """That NAME_min is at most NAME_max, where a factory has both."""
    for name, low in values.items():
        other = name.removesuffix("_min") + "_max"
        if name.endswith("_min") and other in values and (low > values[other]).any():
            raise ValueError(
                f"got {path}.{name}={low:g} above {path}.{other}={values[other]:g}, expected at "
                "most that; exchange them"
            )


def _number(value: Any, hyper: Hyper, where: str, num_layers: int, any_order: bool) -> np.ndarray:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in items):
        raise ValueError(f"got {where}={value!r}, expected a number; fix its type")
    array = np.asarray(value, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"got {where}={value!r}, expected finite numbers; fix it")
    low, high = hyper.lower, hyper.upper
    if low is not None and ((array <= low) if hyper.above else (array < low)).any():
        raise ValueError(
            f"got {where}={value!r}, expected {'>' if hyper.above else '>='} {low:g}; fix it"
        )
    if high is not None and ((array >= high) if hyper.below else (array > high)).any():
        raise ValueError(
            f"got {where}={value!r}, expected {'<' if hyper.below else '<='} {high:g}; fix it"
        )
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
