"""The page of a study: many runs in one table, their scores, curves and differences."""

import statistics
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from devae_jax.names import differing
from devae_jax.viz.curves import information_diffusion
from devae_jax.viz.members import (
    CSS,
    NO_PAGE,
    SCRIPT,
    Member,
    by_label,
    differences,
    members_table,
    methods_table,
    scores_of,
    values_of,
)
from devae_jax.viz.page import ROOM, Part, figure, page, unit
from devae_jax.viz.rows import factors_of, series
from devae_jax.viz.save import png
from devae_jax.viz.strips import learning_curves, strip_plots, trade_off
from devae_jax.viz.style import pretty

DIFFUSIONS = 12  # methods whose diffusion is drawn, over all data sets


def study(
    members: Sequence[Member],
    *,
    title: str,
    command: str,
    missing: Sequence[str] = (),
    layer: int = 0,
) -> str:
    """The page as HTML text; a study without members, or half finished, has what there is.

    Members of different data sets are in figures of their own: their errors are not alike.

    Args:
      command: the one that made the page, and others, a line each.
      missing: what could not be read, in words.
      layer: of learning curves and diffusion; that of the scores.
    """
    metrics = scores_of(members)
    parts = []
    if lacking := [*missing, *mixed(members), *_lacking(members)]:
        items = "".join(f"<li>{escape(text)}</li>" for text in lacking)
        parts.append(Part("What is missing", "", f'<ul class="missing">{items}</ul>'))
    if members:
        parts.append(Part("Methods", METHODS, methods_table(members, metrics)))
        parts.append(Part("Members", "", members_table(members, metrics)))
    parts += _drawn(members, metrics, layer)
    if len(members) > 1:
        parts.append(Part("Differences", DIFFERENCES, differences(members)))
    parts.append(Part("Command", "", f"<pre>{escape(command)}</pre>"))
    done = sum(m.complete for m in members)
    subtitle = f"{len(members)} members, {done} complete; scores of layer {layer}'s mean codes"
    return page(title, parts, subtitle=subtitle, css=CSS, script=SCRIPT)


METHODS = "Mean ± standard deviation over members."
DIFFERENCES = "Settings that are not the same in all members, besides the seed; whose they are."


def mixed(members: Sequence[Member]) -> list[str]:
    """Sentences about members whose scores should not be compared."""
    versions = [m.version for m in members if m.scores]
    return [
        *differing("data sets", [m.data for m in members]),
        *differing("library versions", versions),
    ]


def _lacking(members: Sequence[Member]) -> list[str]:
    """What members lack, in words; those that lack but their own page are counted."""
    found = [f"{m.name}: {', '.join(m.lacks)}" for m in members if not m.complete]
    count = sum(m.complete and NO_PAGE in m.lacks for m in members)
    if count:
        found.append(
            f"Complete members without a page of their own: {count}; launch/report.py --draw makes "
            "them."
        )
    return found if members else ["There are no runs here yet."]


Drawn = Callable[[Sequence[Member], Sequence[str], int], str]


def _drawn(members: Sequence[Member], metrics: Sequence[str], layer: int) -> list[Part]:
    """The figures that the members' numbers allow, of each data set, as long as they fit."""
    sets: dict[str, list[Member]] = {}
    for member in members:
        group, colon, _ = member.label.partition(": ")
        name = f"{group}, {member.data}" if colon else member.data
        sets.setdefault(name, []).append(member)
    parts, room = [], ROOM * 4 // 3  # as base64

    def diffusions(mine: Sequence[Member], metrics: Sequence[str], layer: int) -> str:
        return _diffusions(mine, layer, max(1, DIFFUSIONS // len(sets)))

    kinds: Sequence[tuple[str, str, Drawn]] = (
        ("Scores", SCORES, _strips),
        ("Reconstruction against MIG", AGAINST, _against),
        ("Learning curves", "A thin line is a member.", _curves),
        ("Information diffusion", DIFFUSED, diffusions),
    )
    for heading, text, draw in kinds:
        content = ""
        for data, mine in sets.items():
            found = draw(_named(mine), metrics, layer)
            if found and len(found) > room:
                found = f"<p>Too large to show here: {escape(heading)}, {escape(data)}.</p>"
            room -= len(found)
            if found and len(sets) > 1:
                one = found.count("<figure>") < 2
                found = unit(data, found) if one else f"<h3>{escape(data)}</h3>{found}"
            content += found
        parts += [Part(heading, text, content)] if content else []
    return parts


SCORES = (
    "A dot is a member, the bar its method's mean. Dotted: the floor, a noise code. Whole line: "
    "the ceiling, a perfect code; where they were measured."
)
AGAINST = "Up and to the left is better; grey steps are the Pareto front."
DIFFUSED = (
    "Information that each latent holds on each factor, of one member a method; the score of all "
    "members is among the learning curves."
)


def _named(members: Sequence[Member]) -> list[Member]:
    """Members without the group that all their labels begin with, "dSprites: "."""
    groups = {m.label.partition(": ")[0] if ": " in m.label else None for m in members}
    if len(groups) > 1 or None in groups:
        return list(members)
    return [m._replace(label=m.label.partition(": ")[2]) for m in members]


def _strips(members: Sequence[Member], metrics: Sequence[str], layer: int) -> str:
    """A strip plot of each score, side by side where there is room."""
    groups = by_label(members)
    found = ""
    for name in metrics:
        values = {label: v for label, mine in groups.items() if (v := values_of(mine, name))}
        if values:
            bounds = {name: (_mean(members, name, "floor"), _mean(members, name, "ceiling"))}
            alt = f"Strip plot of {pretty(name)} for {', '.join(values)}"
            found += figure(alt, png(strip_plots({name: values}, bounds)))
    return found and f'<div class="grid">{found}</div>'


def _against(members: Sequence[Member], metrics: Sequence[str], layer: int) -> str:
    points = {label: _points(mine) for label, mine in by_label(members).items()}
    points = {label: found for label, found in points.items() if len(found)}
    if not points:
        return ""
    alt = f"MIG over reconstruction error of {', '.join(points)}"
    return figure(alt, png(trade_off(points)))


def _curves(members: Sequence[Member], metrics: Sequence[str], layer: int) -> str:
    curves = learning_curves([(m.label, m.history) for m in members], layer)
    alt = f"Learning curves of {len(members)} members: {', '.join(by_label(members))}"
    return "" if curves is None else figure(alt, png(curves))


def _diffusions(members: Sequence[Member], layer: int, limit: int) -> str:
    found = ""
    every = {label: _diffused(mine, layer) for label, mine in by_label(members).items()}
    for member, steps, history in list(filter(None, every.values()))[:limit]:
        # Names are in scores, and in what rows alone hold of training.
        rows = (row for m in members for row in (*m.scores, *m.history))
        factors = factors_of(rows, history.shape[2])
        alt = f"Information that each latent of {member.name} holds on each factor, over steps"
        drawn = figure(alt, png(information_diffusion(steps, history, factors)))
        found += unit(f"{member.label}: {member.name}", drawn)
    if found and (lacking := [label for label, one in every.items() if one is None]):
        found += f"<p>Without mutual information over training: {escape('; '.join(lacking))}.</p>"
    return found


def _diffused(members: Sequence[Member], layer: int) -> tuple | None:
    """The first member with mutual information at two steps: itself, steps, [T, D, F]."""
    for member in members:
        steps, history = series(member.history, "mi")
        if history.ndim == 4:
            history = history[:, min(layer, history.shape[1] - 1)]
        if history.ndim == 3 and len(steps) > 1 and np.isfinite(history).any():
            return member, steps, history
    return None


def _points(members: Sequence[Member]) -> np.ndarray:
    both = [(m.value("reconstruction_sampled"), m.value("mig")) for m in members]
    found = np.array(both).reshape(-1, 2)
    return found[np.isfinite(found).all(axis=1)]


def _mean(members: Sequence[Member], metric: str, key: str) -> float:
    values = values_of(members, metric, key)
    return statistics.fmean(values) if values else float("nan")
