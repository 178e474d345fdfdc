"""Trained runs in folders, ranked by how much those of one setting agree; needs no labels."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from devae_jax.program import keys
from devae_jax.runs.run import Run, load_members
from devae_jax.runs.study import differing
from devae_jax.studies.analysis import head_of, line_of
from devae_jax.studies.selection import by_agreement
from devae_jax.studies.setting import deciding, setting

Key = tuple[str, str, str]  # the identity of a data set, a label, and the digest of a setting


class Agreement(NamedTuple):
    """A run among those of its setting.

    data: the name of its data set
    label, seed: of its setting, and its own
    run: its folder, with the member's number behind a colon if it is one of a population
    udr: how alike its latents are to those of the others
    """

    data: str
    label: str
    seed: int
    run: str
    udr: float


def agreements(
    folders: Iterable[str | Path],
    labels: Mapping[tuple[str, int | None], tuple[str, int]],
    *,
    images: int = 500,
    layer: int = 0,
    trust: bool = False,
) -> tuple[list[Agreement], list[str]]:
    """UDR of finished runs, those of one setting and data set among each other, as published.

    A setting is a config but for its seed, see `studies.setting`.

    Args:
      folders: of runs and populations.
      labels: (folder, member) -> (label of the setting, seed); others are called after their
        method and, where settings of it differ, how they do.
      images: how many, drawn without labels and the same for all runs of a data set.
      layer: whose mean codes are compared.
      trust: run the Python files of the user's own that runs' configs name.

    Returns runs, the best of a data set first, and what could not be compared, in words.

    Raises:
      ValueError: fewer than two images, or a layer that a run lacks.

    Source: Duan et al. 2020, see `metrics.udr`.
    """
    if images < 2:
        raise ValueError(f"got images={images}, expected 2 or more; ask for some hundreds")
    alike: dict[Key, list[tuple[int, str, Run]]] = {}
    missing = []
    for folder in folders:
        try:
            runs = load_members(folder, trust=trust)
            if runs[0].step < (steps := runs[0].config.steps):
                raise ValueError(f"it is trained to step {runs[0].step:,} of {steps:,}")
        except (ValueError, OSError) as error:
            missing.append(f"{folder} left out: {error}")
            continue
        for run in runs:
            place = str(Path(folder).absolute()), run.member
            label, seed = labels.get(place, (run.method, run.config.seed))
            name = f"{folder}" if run.member is None else f"{folder}:{run.member}"
            identity = json.dumps(run.dataset.identity, sort_keys=True)
            key = identity, label, setting(keys.laid_over(run.config, {"seed": 0}))
            alike.setdefault(key, []).append((seed, name, run))
    called = _called({key: members[0][2] for key, members in alike.items()})
    found: list[Agreement] = []
    for key, members in alike.items():
        label, data = called[key], members[0][2].dataset
        numbers = np.random.RandomState(0).choice(data.size, min(images, data.size), replace=False)
        seen = members[0][2].images(np.sort(numbers))
        diverged = [name for _, name, run in members if not _finite(run, seen)]
        missing += [f"{name} left out: its codes are no finite numbers" for name in diverged]
        peers = [member for member in members if member[1] not in diverged]
        if len(peers) < 2:
            for _, name, _ in peers:
                missing.append(f"{name} left out: no other run of {label!r} on its data")
            continue
        scores = by_agreement([run for _, _, run in peers], seen, layer=layer)
        for (seed, name, _), score in zip(peers, scores, strict=True):
            found.append(Agreement(data.name, label, seed, name, float(score)))
    return sorted(found, key=lambda each: (each.data, -each.udr)), missing


def _called(first: Mapping[Key, Run]) -> dict[Key, str]:
    """Of each setting its label and, where others on its data have it too, how they differ."""
    decides = {key: deciding(run.config) for key, run in first.items()}
    differ = {
        kind: differing([decides[key] for key in first if key[:2] == kind])
        for kind in {key[:2] for key in first}
    }
    found = {}
    for key in first:
        names = [name for name in differ[key[:2]] if name != "seed"]
        parts = [f"{name.split('.')[-1]}={decides[key].get(name)}" for name in names]
        found[key] = ", ".join([key[1], *parts])
    return found


def markdown(ranked: Iterable[Agreement]) -> str:
    """A table, the best run of each data set first."""
    rows = (line_of(a.data, a.label, str(a.seed), f"{a.udr:.3f}", a.run) for a in ranked)
    return "\n".join([*head_of(["Data", "Setting", "Seed", "UDR", "Run"]), *rows])


def _finite(run: Run, images: np.ndarray) -> bool:
    posterior = run.encode(jnp.asarray(images))
    return bool(np.isfinite(posterior.mean).all() and np.isfinite(posterior.logvar).all())
