"""Figures of many runs: every score by method, reconstruction against MIG, learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devae_jax.viz.curves import PANELS, log_if_wide
from devae_jax.viz.rows import Row, series
from devae_jax.viz.style import (
    INK,
    MUTED,
    PALETTE,
    RC,
    RULE,
    blank,
    line,
    panels,
    step_axis,
    titled,
)

KEYS = {**PANELS, "diffusion": "Information diffusion, the score"}  # of a study's learning curves
MARKERS = "osD^vPX"  # change when the colours run out

Runs = tuple[str, np.ndarray, np.ndarray]  # a run: its method, steps [T], values [T]
ENTRY = 0.2  # inches of a line of a legend, which must not be cut
NAME = 34  # characters of a method's name in a figure


def short(name: str) -> str:
    """A name cut to what fits beside an axis; as text, never as a formula."""
    cut = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
    return cut.replace("$", r"\$")


def _style(index: int) -> dict[str, Any]:
    turn, colour = divmod(index, len(PALETTE))
    return {"color": PALETTE[colour], "marker": MARKERS[turn % len(MARKERS)]}


@matplotlib.rc_context(RC)
def strip_plots(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    bounds: Mapping[str, tuple[float, float]],
    *,
    columns: int = 2,
    share: bool = False,
) -> Figure:
    """A panel for each score, a line for each method, a dot for each run, a bar at the mean.

    Args:
      values: score -> method -> its runs' values, finite; at least one.
      bounds: score -> (floor, ceiling), NaN where there is none: a dotted and a whole line.
      columns: of panels.
      share: panels beside one another have one scale.
    """
    methods = list(dict.fromkeys(name for found in values.values() for name in found))
    columns = min(columns, len(values))
    rows = -(-len(values) // columns)
    height = 0.8 + 0.22 * len(methods)
    across = "row" if share else "none"
    figure, axes = panels(rows, columns, width=4.2, height=height, sharey=True, sharex=across)
    for axis, (score, found) in zip(axes, values.items(), strict=False):
        for bound, style in zip(bounds.get(score, ()), ((0, (1.2, 1)), "-"), strict=False):
            if np.isfinite(bound):
                axis.axvline(bound, color=MUTED, linewidth=1, linestyle=style)
        for y, method in enumerate(methods):
            runs = np.asarray(found.get(method, ()), float)
            jitter = np.linspace(-0.22, 0.22, len(runs)) if len(runs) > 1 else np.zeros(len(runs))
            if len(runs):
                axis.plot([runs.mean()] * 2, [y - 0.34, y + 0.34], color=INK, linewidth=1.6)
            axis.plot(runs, y + jitter, linestyle="", markersize=4.2, alpha=0.85, **_style(y))
        axis.set_yticks(range(len(methods)), [short(name) for name in methods])
        axis.set_ylim(len(methods) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.grid(axis="x", color=RULE, linewidth=0.5)
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(titled(score))
    blank(axes[len(values) :])
    return figure


@matplotlib.rc_context(RC)
def trade_off(points: Mapping[str, np.ndarray]) -> Figure:
    """MIG over the reconstruction error, nats, of method -> runs [R, 2] as (error, MIG).

    The grey steps join the runs that no other beats in both: the Pareto front.
    """
    figure, (axis,) = panels(1, 1, width=7.6, height=max(3.8, ENTRY * len(points)))
    everything = np.concatenate(list(points.values()))
    front = pareto(everything)
    if len(front) > 1:
        axis.step(*everything[front].T, where="post", color=RULE, linewidth=2, zorder=0)
    for i, (method, runs) in enumerate(points.items()):
        axis.plot(*runs.T, linestyle="", markersize=4.5, label=short(method), **_style(i))
    axis.set_xlabel("reconstruction error from samples, nats")
    axis.set_ylabel("MIG")
    axis.grid(color=RULE, linewidth=0.5)
    figure.legend(loc="outside right upper", alignment="left")
    return figure


def pareto(points: np.ndarray) -> np.ndarray:
    """Indices of points [R, 2] that none beats with less first and more second, by the first."""
    order = np.lexsort((-points[:, 1], points[:, 0]))
    best, kept = -np.inf, []
    for i in order:
        if points[i, 1] > best:
            best = points[i, 1]
            kept.append(i)
    return np.array(kept, int)


@matplotlib.rc_context(RC)
def learning_curves(
    histories: Sequence[tuple[str, Sequence[Row]]], layer: int = 0
) -> Figure | None:
    """A thin line for each run, (method, its rows of metrics); of one latent layer.

    Runs of a method share a colour. None where nothing was recorded.
    """
    found: dict[str, list[Runs]] = {}
    for method, rows in histories:
        for key in KEYS:
            steps, numbers = series(rows, key)
            if numbers.ndim == 2:
                numbers = numbers[:, min(layer, numbers.shape[1] - 1)]
            if numbers.ndim == 1 and np.isfinite(numbers).any():
                found.setdefault(key, []).append((method, steps, numbers))
    if not found:
        return None
    methods = list(dict.fromkeys(method for method, _ in histories))
    return curves({KEYS[key]: found[key] for key in KEYS if key in found}, methods)


@matplotlib.rc_context(RC)
def curves(panels_of: Mapping[str, Sequence[Runs]], methods: Sequence[str] = ()) -> Figure:
    """A panel for each score over training, a thin line for each run, a colour for each method.

    Args:
      panels_of: title or score -> (method, steps [T], values [T]) of each run; at least one.
      methods: all that get a colour, in order; those of the runs if empty.
    """
    known = methods or list(dict.fromkeys(run[0] for runs in panels_of.values() for run in runs))
    columns = min(2, len(panels_of))
    rows = -(-len(panels_of) // columns)
    height = max(2.5, ENTRY * len(known) / rows)
    figure, axes = panels(rows, columns, width=4.4, height=height)
    for axis, (title, runs) in zip(axes, panels_of.items(), strict=False):
        _thin_lines(axis, runs, known)
        axis.set_title(titled(title))
        step_axis(axis)
        if all(_falls(values) for _, _, values in runs):
            everything = np.concatenate([values for _, _, values in runs])
            log_if_wide(axis, np.sort(everything)[::-1])
    for axis in axes[len(panels_of) - columns : len(panels_of)]:
        axis.set_xlabel("training step")
    blank(axes[len(panels_of) :])
    handles = [Line2D([], [], linewidth=2, label=short(m), **line(i)) for i, m in enumerate(known)]
    figure.legend(handles=handles, loc="outside right upper", alignment="left")
    return figure


def _falls(values: np.ndarray) -> bool:
    """Whether a run's largest value comes before its smallest, as of an error that is learned."""
    values = values[np.isfinite(values)]
    return len(values) < 2 or bool(values.argmax() < values.argmin())


def _thin_lines(axis: Axes, runs: Sequence[Runs], methods: Sequence[str]) -> None:
    for method, steps, numbers in runs:
        kept = np.isfinite(numbers)
        dot = {"marker": "o", "markersize": 2.5} if kept.sum() < 2 else {}
        style = line(methods.index(method)) | dot
        axis.plot(steps[kept], numbers[kept], linewidth=0.8, alpha=0.75, **style)
