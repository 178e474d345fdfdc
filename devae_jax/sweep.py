"""Sweeps: a grid of configs as few compiled programs with many members each.

Axes that change shapes make separate programs; all other numbers, seeds included, are members
of one. A sweep file returns a config with

    config.sweep = (("seed", (0, 1, 2)), ("objective.terms.kl.betas", ((1.0,), (4.0,))))

and `plan` turns the product of the axes into groups.
"""

import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from devae_jax import build
from devae_jax.names import nearest
from devae_jax.run import of_member
from devae_jax.train import step

FREE = ("seed",)  # numbers that are traced although no factory declares them


class Group(NamedTuple):
    """One program: a config, and the numbers in which each member differs from it."""

    name: str
    config: ConfigDict
    members: list[dict[str, Any]]


def plan(config: ConfigDict, axes: Sequence[tuple[str, Sequence[Any]]]) -> list[Group]:
    """Static programs x traced members of the product of `axes`, in the order given.

    Raises:
      ValueError: an axis is not a key of the config, empty, or named twice; or a member is wrong.
    """
    known = set(build.flatten(config))
    names = [name for name, _ in axes]
    for name, values in axes:
        if name not in known:
            raise ValueError(
                f"got sweep axis {name!r}, expected a key of the config"
                f"{nearest(name, known)}; fix the sweep"
            )
        if not values or names.count(name) > 1:
            raise ValueError(f"got sweep axis {name!r} empty or twice, expected values; fix it")
    groups: dict[str, Group] = {}
    for values in itertools.product(*(values for _, values in axes)):
        setting = dict(zip(names, values, strict=True))
        own = of_member(config, setting)
        numbers = build.hyperparameters(own)  # checks the member
        traced = {name: value for name, value in setting.items() if name in _traced(own)}
        static = {name: value for name, value in setting.items() if name not in traced}
        shapes = jax.tree.map(np.shape, numbers)
        signature = json.dumps([static, shapes], sort_keys=True, default=str)
        if signature not in groups:
            name = ",".join(f"{key.split('.')[-1]}={value}" for key, value in static.items())
            name = re.sub(r"[/\s]", "_", name) or "all"
            if name in {group.name for group in groups.values()}:  # numbers of another shape
                name += f",shapes={len(groups)}"
            groups[signature] = Group(name, of_member(config, static), [])
        groups[signature].members.append(traced)
    return list(groups.values())


def _traced(config: ConfigDict) -> set[str]:
    """The keys of a config that become arrays."""
    found = set(FREE)
    for owner, numbers in build.hyperparameters(config).items():
        if isinstance(numbers, Mapping):
            prefix = {
                "model": "model",
                "objective": "objective",
                "optimizer": "optimizer",
            }.get(owner)
            prefix = (
                prefix
                or {"terms": "objective.", "players": "optimizer."}[owner.split(".")[0]] + owner
            )
            found |= {f"{prefix}.{name}" for name in numbers}
    return found


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
    built = build.plan(group.config)
    state = jax.eval_shape(functools.partial(step.init, built.program), built.hparams)
    one = jax.jit(functools.partial(step.train_step, built.program))
    used = one.lower(built.hparams, state, built.program.source.arrays).compile()
    analysis: Any = used.memory_analysis()
    tables = sum(leaf.nbytes for leaf in jax.tree.leaves(built.program.source.arrays))
    sizes = analysis.output_size_in_bytes, analysis.temp_size_in_bytes, limit - tables
    fit = members_that_fit(*sizes, -(-total // len(devices)))
    told = "a member needs {:.0f} MB of state and {:.0f} MB a step, of {:.0f} MB a device"
    reason = told.format(*(size / 1e6 for size in sizes))
    return Fit(even(fit * len(devices), total, len(devices)), reason)


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
