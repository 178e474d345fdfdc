"""Sweeps: a set of configs as few compiled programs with many members each.

Axes that change shapes make separate programs; all other numbers, seeds included, are members
of one. A sweep file returns a config with axes, of which `plan` takes the product,

    config.sweep = (("seed", (0, 1, 2)), ("objective.terms.kl.betas", ((1.0,), (4.0,))))

or with settings, as the functions of `axes` return them,

    config.sweep = axes.random({"optimizer.learning_rate": axes.log_uniform(1e-4, 1e-2)}, 8)
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from devae_jax.names import nearest
from devae_jax.program import keys, schema, specs
from devae_jax.program.axes import Asked, settings_of
from devae_jax.program.plan import plan as plan_one
from devae_jax.training.engine import Steps, mesh_of


class Group(NamedTuple):
    """One program: a config, and the numbers in which each member differs from it."""

    name: str
    config: ConfigDict
    members: list[dict[str, Any]]


def plan(config: ConfigDict, axes: Asked) -> list[Group]:
    """Static programs x traced members of the product of `axes`, or of settings, as they come.

    An axis is a key of the config. It is one of the members if the program has a number of that
    name; a key that shares its number with others changes all of them.

    Raises:
      ValueError: as `axes.settings_of`; an axis is not a key of the config; or a member is wrong.
    """
    return grouped(config, settings_of(axes))[0]


def grouped(
    config: ConfigDict, settings: Sequence[Mapping[str, Any]]
) -> tuple[list[Group], list[tuple[int, int]]]:
    """As few programs as `settings`, each config path -> value, allow; and where each setting is.

    Returns the groups and, for each setting, (group number, member number).

    Raises:
      ValueError: a setting names no key of the config, or is wrong.
    """
    config = keys.normalised(config)
    known = keys.flatten(config)
    for name in dict.fromkeys(name for setting in settings for name in setting):
        if name not in known:
            raise ValueError(
                f"got sweep axis {name!r}, expected a key of the config"
                f"{nearest(name, known)}; fix the sweep"
            )
    groups: dict[str, Group] = {}
    places = []
    for setting in settings:
        member = keys.laid_over(config, setting)
        schema.check(member)
        hparams = specs.read(member).hparams()
        traced = {name: value for name, value in setting.items() if name in hparams}
        static = {name: value for name, value in setting.items() if name not in hparams}
        shapes = {name: np.shape(value) for name, value in hparams.items()}
        signature = json.dumps([static, shapes], sort_keys=True, default=str)
        if signature not in groups:
            name = ",".join(f"{key.split('.')[-1]}={value}" for key, value in static.items())
            name = re.sub(r"[/\s]", "_", name) or "all"
            if name in {group.name for group in groups.values()}:  # numbers of another shape
                name += f",shapes={len(groups)}"
            # A program fits together without its members: numbers of another shape are in it.
            shaped = {n: v for n, v in traced.items() if np.shape(v) != np.shape(known[n])}
            groups[signature] = Group(name, keys.laid_over(config, static | shaped), [])
        members = groups[signature].members
        places.append((list(groups).index(signature), len(members)))
        members.append(_numbers(groups[signature].config, traced))
    return list(groups.values()), places


def _numbers(config: ConfigDict, traced: dict[str, Any]) -> dict[str, Any]:
    """All numbers that a setting gives: its own, and those of keys that share one of them."""
    return traced | keys.changes(config, keys.laid_over(config, traced))


class Fit(NamedTuple):
    """How many members train at once, and why."""

    members: int
    reason: str


def fitting(group: Group) -> Fit:
    """How many of a group's members the devices hold at once, a multiple of the devices.

    All, where the device cannot say how much memory it has.
    """
    devices, total = jax.devices(), len(group.members)
    limit = (devices[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        return Fit(total, "the device names no limit of its memory")
    built = plan_one(group.config)
    steps = Steps(built.program, mesh_of(devices[:1]))
    analysis: Any = steps.lower(built.hparams).compile().memory_analysis()
    tables = sum(leaf.nbytes for leaf in jax.tree.leaves(built.program.source.arrays))
    sizes = analysis.output_size_in_bytes, analysis.temp_size_in_bytes, limit - tables
    fit = members_that_fit(*sizes, -(-total // len(devices)))
    reason = "a member needs {:.0f} MB of state and {:.0f} MB a step, of {:.0f} MB a device"
    megabytes = [size / 1e6 for size in sizes]
    return Fit(even(fit * len(devices), total, len(devices)), reason.format(*megabytes))


def even(fit: int, total: int, devices: int) -> int:
    """At most `fit` of `total` members, in full rounds over the devices where there is one."""
    size = min(fit, total)
    return size - size % devices if size >= devices else size


def members_that_fit(state_bytes: int, step_bytes: int, memory_bytes: int, members: int) -> int:
    """How many members one program can hold: state and temporaries of each must fit.

    A tenth of the memory is left for the tables and the runtime.
    """
    return max(1, min(members, int(0.9 * memory_bytes) // max(1, state_bytes + step_bytes)))


def split(group: Group, size: int) -> list[Group]:
    """A group as several of at most `size` members, to be trained one after another."""
    parts = [group.members[i : i + size] for i in range(0, len(group.members), size)]
    if len(parts) == 1:
        return [group]
    return [Group(f"{group.name},part={i}", group.config, part) for i, part in enumerate(parts)]


def shard(text: str) -> tuple[int, int]:
    """The i and n of "i/n".

    Raises:
      ValueError: it is not of that form, or i is not one of 0 to n - 1.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    i, n = map(int, match.groups()) if match else (0, 0)
    if i >= n:
        raise ValueError(
            f"got --shard={text}, expected i/n with i from 0 to n - 1, such as 0/4; fix it"
        )
    return i, n
