"""What a sweep is, as its folder's sweep.json says: config, axes, programs and members.

The first process writes it; the others train the same programs, or are refused.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from devae_jax.files import FORMAT, claimed, readable, storing, write_json
from devae_jax.program import keys
from devae_jax.program.axes import Asked
from devae_jax.program.saved import config_of, differences
from devae_jax.program.sweep import Group, split
from devae_jax.runs.layout import mapping, remove_left
from devae_jax.runs.place import patient
from devae_jax.training.digests import of_json

NAME = "sweep.json"


def described(
    config: ConfigDict,
    axes: Asked,
    groups: Sequence[Group],
    sizes: Mapping[str, int],
) -> dict[str, Any]:
    """The manifest of a sweep whose groups train `sizes[name]` members at once.

    Raises:
      ValueError: two members are the same run.
    """
    _check_distinct(groups)
    content = {
        "format": FORMAT,
        "config": keys.to_json(keys.normalised(config)),
        "axes": list(axes),  # or settings: what `config.sweep` says
        "at_once": dict(sizes),
        "programs": [
            {"name": program.name, "members": _members(program)}
            for program in programs(groups, sizes)
        ],
    }
    content = json.loads(json.dumps(content, default=str))
    return content | {"digest": of_json(content)}


def programs(groups: Sequence[Group], sizes: Mapping[str, int]) -> list[Group]:
    """The groups, split into what trains at once."""
    return [program for group in groups for program in split(group, sizes[group.name])]


def read(path: Path) -> dict[str, Any] | None:
    """The manifest of a sweep's folder, None if there is none yet.

    Raises:
      ValueError: it is damaged or of another version, or the folder is that of a run.
    """
    file = path / NAME
    if not file.exists():
        if (path / "config.json").exists():
            raise ValueError(
                f"got workdir={path} with a run, expected the folder of a sweep or none; choose "
                "another --workdir"
            )
        return None
    try:
        saved = mapping(file)
    except (OSError, ValueError):
        saved = {}
    whole = saved.get("digest") == of_json(
        {name: value for name, value in saved.items() if name != "digest"}
    )
    if not whole:
        raise ValueError(
            f"got a damaged {file}, expected the manifest of a sweep; move it away, and the same "
            "command writes it again: the programs that are trained are kept"
        )
    readable(saved, str(file))
    return saved


def check_same(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """That two manifests are of one sweep; how long it trains may differ.

    Raises:
      ValueError: says in which keys, axes or programs they differ.
    """
    changed = differences(config_of(saved["config"]), ConfigDict(wanted["config"]))
    for name in ("axes", "at_once", "programs"):
        if saved[name] != wanted[name]:
            changed.append(f"{name}: {_short(saved[name])} -> {_short(wanted[name])}")
    if changed:
        raise ValueError(
            f"got workdir={path} of another sweep ({'; '.join(changed)}), expected this one; "
            "choose another --workdir, or start again with --overwrite"
        )


def check_replaced(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """That a sweep has all programs of the one that it overwrites, whose runs it deletes.

    Raises:
      ValueError: names those that it has not.
    """
    names = [{program["name"] for program in about["programs"]} for about in (saved, wanted)]
    if more := sorted(names[0] - names[1]):
        raise ValueError(
            f"got workdir={path} of a sweep that also has {', '.join(more[:5])}, expected to "
            "overwrite one of the same programs; remove the folder yourself, or choose another "
            "--workdir"
        )


def publish(path: Path, wanted: Mapping[str, Any]) -> None:
    """Writes the manifest, unless another process has; then it must be the same.

    Raises:
      ValueError: the other one is of another sweep.
    """
    with alone(path):
        clean(path)
        saved = read(path)
        if saved is None:
            write_json(path / NAME, wanted, indent=1)
        else:
            check_same(path, saved, wanted)


def clean(path: Path) -> None:
    """Removes what killed processes left half written beside the programs' folders."""
    with storing(path):
        remove_left((*path.glob(".*.tmp"), *path.glob("programs/.*.tmp")))


def alone(path: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the manifest for the length of the block, after waiting for others that do."""
    return patient(lambda: claimed(path / ".sweep.lock", f"the manifest of {path}"))


def _members(program: Group) -> list[dict[str, Any]]:
    """What distinguishes the members of a program."""
    return [
        {"member": i, "seed": numbers.get("seed", program.config.seed), "numbers": numbers}
        for i, numbers in enumerate(program.members)
    ]


def _check_distinct(groups: Sequence[Group]) -> None:
    seen: dict[str, str] = {}
    for group in groups:
        for i, numbers in enumerate(group.members):
            flat = json.dumps(keys.flatten(group.config) | numbers, default=str)
            run = json.dumps(json.loads(flat, parse_int=float), sort_keys=True)  # 1 is 1.0
            me = f"member {i} of {group.name}"
            if run in seen:
                raise ValueError(
                    f"got {me} that is the same run as {seen[run]} ({numbers}), expected each "
                    "once; change the values of the sweep"
                )
            seen[run] = me


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else f"{text[:117]}..."
