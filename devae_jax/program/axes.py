"""Axes of a study over any config path: grid, zip, random and list, each a list of settings.

A setting is {config path: value}. Axes are combined by `product`; `sweep.grouped` makes programs
and members of the settings.

    settings = product(random({"optimizer.learning_rate": log_uniform(1e-4, 1e-2)}, 8, seed=0),
                       grid([("seed", (0, 1, 2))]))
    groups, places = sweep.grouped(config, settings)
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Setting = dict[str, Any]
Draw = Callable[[np.random.Generator], Any]


def grid(axes: Sequence[tuple[str, Sequence[Any]]]) -> list[Setting]:
    """The product of the axes' values, the last axis fastest."""
    names = [name for name, _ in axes]
    values = itertools.product(*(values for _, values in axes))
    return [dict(zip(names, each, strict=True)) for each in values]


def zipped(axes: Sequence[tuple[str, Sequence[Any]]]) -> list[Setting]:
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
      ValueError: there is none, or one is no {config path: value}.
    """
    for setting in settings:
        if not isinstance(setting, Mapping) or not all(isinstance(key, str) for key in setting):
            raise ValueError(
                f"got the setting {setting!r}, expected {{config path: value}}; fix the list"
            )
    if not settings:
        raise ValueError("got no settings, expected one or more; write [{'seed': 0}]")
    return [dict(setting) for setting in settings]


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
