"""The page of a study: many runs in one table, their scores, curves and differences."""

import statistics
from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from devae_jax.viz.curves import information_diffusion
from devae_jax.viz.members import (
    CSS,
    SCRIPT,
    Member,
    by_label,
    differences,
    members_table,
    methods_table,
    scores_of,
    values_of,
)
from devae_jax.viz.page import Part, figure, page
from devae_jax.viz.rows import series
from devae_jax.viz.save import png
from devae_jax.viz.strips import learning_curves, strip_plots, trade_off
from devae_jax.viz.style import pretty

DIFFUSIONS = 6  # methods whose diffusion is drawn


def study(
    members: Sequence[Member],
    *,
    title: str,
    command: str,
    missing: Sequence[str] = (),
    layer: int = 0,
) -> str:
    """The page as HTML text; a study without members, or half finished, has what there is.

    Args:
      command: the one that made the page.
      missing: what could not be read, in words.
      layer: of learning curves and diffusion; that of the scores.
    """
    metrics = scores_of(members)
    parts = []
    lacking = [*missing, *mixed(members)]
    lacking += [f"{m.name}: {', '.join(m.lacks)}" for m in members if m.lacks]
    lacking += [] if members else ["There are no runs here yet."]
    if lacking:
        items = "".join(f"<li>{escape(text)}</li>" for text in lacking)
        parts.append(Part("What is missing", "", f'<ul class="missing">{items}</ul>'))
    if members:
        parts.append(Part("Methods", METHODS, methods_table(members, metrics)))
        parts.append(Part("Members", "", members_table(members, metrics)))
    parts += _drawn(members, metrics, layer)
    if len(members) > 1:
        parts.append(Part("Differences", DIFFERENCES, differences(members)))
    parts.append(Part("Command", "", f"<pre>{escape(command)}</pre>"))
    done = sum(not m.lacks for m in members)
    subtitle = f"{len(members)} members, {done} complete; scores of layer {layer}'s mean codes"
    return page(title, parts, subtitle=subtitle, css=CSS, script=SCRIPT)


METHODS = "Mean ± standard deviation over members."
DIFFERENCES = "Settings that are not the same in all members, besides the seed."


def mixed(members: Sequence[Member]) -> list[str]:
    """Sentences about members whose scores should not be compared."""
    found = []
    for what, values in (
        ("data sets", [m.data for m in members]),
        ("library versions", [m.version for m in members]),
    ):
        counts = Counter(values)
        if len(counts) > 1:
            each = "; ".join(f"{value} ({count})" for value, count in counts.most_common())
            found.append(f"Members are of different {what}, compare with care: {each}.")
    return found


def _drawn(members: Sequence[Member], metrics: Sequence[str], layer: int) -> list[Part]:
    """The figures that the members' numbers allow."""
    parts, groups = [], by_label(members)
    values = {
        name: {label: v for label, mine in groups.items() if (v := values_of(mine, name))}
        for name in metrics
    }
    if values:
        bounds = {
            name: (_mean(members, name, "floor"), _mean(members, name, "ceiling"))
            for name in metrics
        }
        text = "A dot is a member, the bar its method's mean. Dotted: the floor, a noise code. "
        text += "Whole line: the ceiling, a perfect code."
        alt = f"Strip plots of {', '.join(map(pretty, metrics))} for {', '.join(groups)}"
        parts.append(Part("Scores", text, figure(alt, png(strip_plots(values, bounds)))))
    points = {label: _points(mine) for label, mine in groups.items()}
    points = {label: found for label, found in points.items() if len(found)}
    if points:
        alt = f"MIG over reconstruction error of {', '.join(points)}"
        text = "Up and to the left is better; grey steps are the Pareto front."
        drawn = figure(alt, png(trade_off(points)))
        parts.append(Part("Reconstruction against MIG", text, drawn))
    curves = learning_curves([(m.label, m.history) for m in members], layer)
    if curves is not None:
        alt = f"Learning curves of {len(members)} members: {', '.join(groups)}"
        drawn = figure(alt, png(curves))
        parts.append(Part("Learning curves", "A thin line is a member.", drawn))
    diffusions = ""
    for m in [found for mine in groups.values() if (found := _diffused(mine, layer))][:DIFFUSIONS]:
        member, steps, history, factors = m
        alt = f"Information that each latent of {member.name} holds on each factor, over steps"
        picture = png(information_diffusion(steps, history, factors))
        heading = f"<h3>{escape(f'{member.label}: {member.name}')}</h3>"
        diffusions += heading + figure(alt, picture)
    if diffusions:
        text = "Information that each latent holds on each factor, of one member a method."
        parts.append(Part("Information diffusion", text, diffusions))
    return parts


def _diffused(members: Sequence[Member], layer: int) -> tuple | None:
    """The first member with mutual information at two steps: itself, steps, [T, D, F], names."""
    for member in members:
        steps, history = series(member.history, "mi")
        if history.ndim == 4:
            history = history[:, min(layer, history.shape[1] - 1)]
        if history.ndim == 3 and len(steps) > 1 and np.isfinite(history).any():
            count = history.shape[2]
            named = [row["factors"] for row in member.scores if row.get("factors")]
            right = named and isinstance(named[0], list) and len(named[0]) == count
            factors = [str(n) for n in named[0]] if right else [f"factor {i}" for i in range(count)]
            return member, steps, history, factors
    return None


def _points(members: Sequence[Member]) -> np.ndarray:
    both = [(m.value("reconstruction_sampled"), m.value("mig")) for m in members]
    found = np.array(both).reshape(-1, 2)
    return found[np.isfinite(found).all(axis=1)]


def _mean(members: Sequence[Member], metric: str, key: str) -> float:
    values = values_of(members, metric, key)
    return statistics.fmean(values) if values else float("nan")
