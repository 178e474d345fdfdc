"""Axes of a study over any config path: grid, zip, random and list, each a list of settings.

A setting is {config path: value}. Axes are combined by `product`; `config.sweep` may be such a
list, and `sweep.grouped` makes programs and members of the settings.

    config.sweep = product(random({"optimizer.learning_rate": log_uniform(1e-4, 1e-2)}, 8, seed=0),
                           grid([("seed", (0, 1, 2))]))
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.program.schema import shown

Setting = dict[str, Any]
Axes = Sequence[tuple[str, Sequence[Any]]]  # of a grid: config paths and their values
Asked = Axes | Sequence[Setting]  # what `config.sweep` may be
Draw = Callable[[np.random.Generator], Any]


def grid(axes: Axes) -> list[Setting]:
    """The product of the axes' values, the last axis fastest."""
    names = [name for name, _ in axes]
    values = itertools.product(*(values for _, values in axes))
    return [dict(zip(names, each, strict=True)) for each in values]


def zipped(axes: Axes) -> list[Setting]:
    """The first values of all axes, the second ones, and so on.

    Raises:
      ValueError: the axes have different numbers of values.
    """
    lengths = {name: len(values) for name, values in axes}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"got zipped axes of {lengths} values, expected as many of each; fix the lengths"
        )
    return [dict(each) for each in zip(*([(n, v) for v in vs] for n, vs in axes), strict=True)]


def random(draws: Mapping[str, Sequence[Any] | Draw], count: int, seed: int = 0) -> list[Setting]:
    """`count` settings, each key drawn by itself; the same for the same seed.

    Args:
      draws: key -> values to choose from, or a function of a `numpy.random.Generator`.

    Raises:
      ValueError: no settings, or an axis without values.
    """
    empty = [name for name, draw in draws.items() if not callable(draw) and not len(draw)]
    if count < 1 or empty or not draws:
        raise ValueError(
            f"got {count} settings of random axes {', '.join(draws) or 'none'} "
            f"(empty: {', '.join(empty) or 'none'}), expected one or more of each; fix them"
        )
    rng = np.random.default_rng(seed)

    def one(draw: Sequence[Any] | Draw) -> Any:
        return draw(rng) if callable(draw) else draw[int(rng.integers(len(draw)))]

    return [{name: one(draw) for name, draw in draws.items()} for _ in range(count)]


def uniform(low: float, high: float) -> Draw:
    """Of a random axis: a number between two."""
    return lambda rng: float(rng.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Of a random axis: a number between two, both above 0, whose logarithm is uniform.

    Raises:
      ValueError: the bounds are not 0 < low <= high.
    """
    if not 0 < low <= high:
        raise ValueError(f"got log_uniform({low}, {high}), expected 0 < low <= high; fix them")
    return lambda rng: math.exp(rng.uniform(math.log(low), math.log(high)))


def listed(settings: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Settings as they are, written out.

    Raises:
      ValueError: there is none, one is no {config path: value} or is there twice.
    """
    fix = 'write [{"seed": 0}, {"seed": 1}]'
    if not settings:
        raise ValueError(f"got a sweep of no settings, expected one or more; {fix}")
    seen: dict[str, int] = {}
    for i, setting in enumerate(settings):
        paths = isinstance(setting, Mapping) and all(isinstance(key, str) for key in setting)
        if not paths or not setting:
            raise ValueError(
                f"got {shown(setting)} as setting {i} of the sweep, expected one or more "
                f"{{config path: value}}; {fix}"
            )
        text = repr(sorted((key, _plain(value)) for key, value in setting.items()))
        if text in seen:
            raise ValueError(
                f"got {shown(dict(setting))} as settings {seen[text]} and {i} of the sweep, "
                "expected each once; remove one, or draw from more values"
            )
        seen[text] = i
    return [dict(setting) for setting in settings]


def settings_of(sweep: Any) -> list[Setting]:
    """The settings of a `config.sweep`: a list of them as it is, or the grid of its axes.

    Raises:
      ValueError: it is neither; an axis or a setting is empty, wrong or there twice.
    """
    fix = 'write (("seed", (0, 1, 2)),), or a list of settings'
    if not isinstance(sweep, list | tuple) or not sweep:
        raise ValueError(f"got sweep={shown(sweep)}, expected one or more axes; {fix}")
    if any(isinstance(each, Mapping) for each in sweep):
        return listed(sweep)
    found: dict[str, tuple[Any, ...]] = {}
    for axis in sweep:
        pair = isinstance(axis, list | tuple) and len(axis) == 2
        if not pair or not isinstance(axis[0], str):
            raise ValueError(f"got {shown(axis)} in sweep, expected a key and values; {fix}")
        name, values = axis
        if name in found:
            raise ValueError(f"got sweep axis {name!r} twice, expected once; remove one")
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(
                f"got sweep axis {name!r} with {shown(values)}, expected one or more values; {fix}"
            )
        seen = [_plain(value) for value in values]
        for i, value in enumerate(seen):
            if any(value == other and type(value) is type(other) for other in seen[:i]):
                raise ValueError(
                    f"got sweep axis {name!r} with {shown(value)} twice, expected each value "
                    "once; remove one"
                )
        found[name] = tuple(values)
    return grid(list(found.items()))


def product(*axes: Sequence[Setting]) -> list[Setting]:
    """Every combination of one setting of each, the last fastest.

    Raises:
      ValueError: two name the same key.
    """
    found = []
    for parts in itertools.product(*axes):
        names = [name for part in parts for name in part]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"got axis {twice!r} twice, expected once; remove one")
        found.append({name: value for part in parts for name, value in part.items()})
    return found


def _plain(value: Any) -> Any:
    """Lists for tuples, so that both compare."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
