"""What changes over training: losses, KL, scores, and where the information goes."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from devae_jax.viz.images import layer_names
from devae_jax.viz.rows import Row, series
from devae_jax.viz.style import (
    DPI,
    MUTED,
    RC,
    RULE,
    blank,
    dots,
    empty,
    latent_name,
    line,
    panels,
    step_axis,
)

PANELS = {
    "loss": "Loss",
    "reconstruction": "Reconstruction error (nats)",
    "kl": "KL to the prior (nats)",
    "mig": "MIG",
}
LOG_RANGE = 8  # a positive quantity that falls by more than this is drawn on a log axis
Diffusion = tuple[np.ndarray, np.ndarray, Sequence[str]]  # steps [T], MI [T, D, F], F names
MANY = 60  # points from which on a curve is smoothed


def smooth(values: np.ndarray, span: int) -> np.ndarray:
    """Exponential moving average over about `span` points, unbiased at the start, [T] -> [T]."""
    keep = 1 - 2 / (span + 1)
    total, weight, out = 0.0, 0.0, np.empty(len(values))
    for t, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        out[t] = total / weight
    return out


def _curve(axis: Axes, steps: np.ndarray, values: np.ndarray, style: dict) -> None:
    """One line over its measured points; a long one is smoothed over its own faint trace."""
    measured = np.isfinite(values)
    steps, values = steps[measured], values[measured]
    if len(values) < MANY:
        axis.plot(steps, values, linewidth=1.6, **dots(len(values)), **style)
        return
    axis.plot(steps, values, linewidth=0.7, alpha=0.25, **style)
    axis.plot(steps, smooth(values, max(3, len(values) // 40)), linewidth=1.7, **style)


@matplotlib.rc_context(RC)
def training_curves(
    rows: Iterable[Row],
    *,
    layer_labels: Sequence[str] | None = None,
    keys: Mapping[str, str] = PANELS,
) -> Figure:
    """A panel for each key that was measured, a line for each latent layer.

    Args:
      rows: dictionaries with a `step` and, under any of the keys, a number or [K] numbers,
        `key` or `eval/key`. None and NaN mean "not measured".
      layer_labels: [K] what distinguishes the layers, as `β=1`.
      keys: key -> title of its panel.
    """
    rows = list(rows)
    found = {key: series(rows, key) for key in keys}
    found = {key: (t, v) for key, (t, v) in found.items() if v.ndim in (1, 2)}
    found = {key: (t, v) for key, (t, v) in found.items() if np.isfinite(v).any()}
    if not found:
        return empty("No training metrics were recorded")
    columns = len(found) if len(found) < 4 else -(-len(found) // 2)
    figure, axes = panels(-(-len(found) // columns), columns, width=3.6, height=2.4)
    layers = 1
    for axis, (key, (steps, values)) in zip(axes, found.items(), strict=False):
        title, single, values = keys[key], values.ndim == 1, values.reshape(len(steps), -1)
        layers = max(layers, values.shape[1])
        # Scaling the axes does not change MIG: such lines would hide one another.
        if values.shape[1] > 1 and np.allclose(values, values[:, :1], atol=1e-3, equal_nan=True):
            title, single, values = f"{title}, equal in all layers", True, values[:, :1]
        for i, layer in enumerate(values.T):
            _curve(axis, steps, layer, {"color": MUTED} if single else line(i))
        axis.set_title(title)
        step_axis(axis)
        log_if_wide(axis, values)
    blank(axes[len(found) :])
    for axis in axes[len(found) - columns : len(found)]:
        axis.set_xlabel("training step")
    if layers > 1:
        names = layer_names(layers, layer_labels if layers == len(layer_labels or ()) else None)
        handles = [Line2D([], [], linewidth=2, label=n, **line(i)) for i, n in enumerate(names)]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(layers, 5))
    return figure


def log_if_wide(axis: Axes, values: np.ndarray) -> None:
    """A log axis where values [T, K] fall by more than LOG_RANGE."""
    values = values[np.isfinite(values)]
    falls = values.argmax() < values.argmin()
    if not falls or values.min() <= 0 or values.max() < LOG_RANGE * values.min():
        return
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(which="minor", left=False)


@matplotlib.rc_context(RC)
def information_diffusion(
    steps: np.ndarray,
    mi: np.ndarray,
    factors: Sequence[str],
    *,
    limit: int = 8,
    traces: int = 64,
) -> Figure:
    """Mutual information of every latent with every factor over training, a panel a factor.

    A latent that holds a factor to the end is a line that rises and stays; information that
    diffuses leaves one line and spreads over others.

    Args:
      steps: [T] training steps.
      mi: [T, D, F] in nats; NaN where not measured.
      limit: how many latents, the most informative ever, get a colour, the same in all panels.
      traces: how many of the others are drawn in grey.

    Source: Wu et al. 2022, Fig. 4. Raises: ValueError when the shapes disagree.
    """
    mi = np.asarray(mi, float)
    if mi.ndim != 3 or mi.shape[0] != len(steps) or mi.shape[2] != len(factors):
        raise ValueError(
            f"got mi of shape {mi.shape} for {len(steps)} steps and {len(factors)} factors, "
            "expected [T, D, F]; fix by stacking one [D, F] matrix a step"
        )
    coloured, grey = _shown(mi, limit, traces)
    columns = min(len(factors), 3) if len(factors) != 4 else 2
    lines = -(-len(factors) // columns)
    figure, axes = panels(lines, columns, width=2.9, height=2.0, sharex=True)
    for f, (axis, factor) in enumerate(zip(axes, factors, strict=False)):
        _traced(axis, np.asarray(steps), mi[:, :, f], coloured, grey)
        axis.set_title(factor)
        axis.set_ylim(0, _top(mi, f))
    for f, axis in enumerate(axes[: len(factors)]):
        axis.tick_params(labelbottom=f + columns >= len(factors))
        axis.set_xlabel("training step" if f + columns >= len(factors) else "")
        axis.set_ylabel("MI (nats)" if f % columns == 0 else "")
    blank(axes[len(factors) :])
    handles = _legend(mi, coloured, grey)
    figure.legend(handles=handles, loc="outside right upper", title="latent", alignment="left")
    return figure


@matplotlib.rc_context(RC)
def diffusions(
    runs: Mapping[str, Diffusion | str], *, title: str, note: str = "", limit: int = 10
) -> Figure:
    """`information_diffusion` of several runs below one another: a line of panels a run.

    Panels of a factor have one scale in all lines. Latents have no order that runs share: each
    line has colours of its own.

    Args:
      runs: heading -> steps [T], MI [T, D, F] in nats and the F factors' names, or, of a run that
        has none, why, in words.
      note: what to know of all, below the panels.
    """
    drawn = [run for run in runs.values() if not isinstance(run, str)]
    columns = max((len(factors) for _, _, factors in drawn), default=1)
    tops: dict[str, float] = {}
    for _, mi, factors in drawn:
        for f, factor in enumerate(factors):
            tops[factor] = max(tops.get(factor, 0), _top(mi, f))
    heights = [0.7 if isinstance(run, str) else 2.35 for run in runs.values()]
    width = max(2.1 * columns + 0.9, 7.5)
    note = fill(note, int(15 * width))
    size = (width, sum(heights) + 0.5 + 0.16 * (note.count("\n") + 2))
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.06, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=size, dpi=DPI, layout=layout)
    figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    figure.supxlabel(note, x=0.01, ha="left", size=8, color=MUTED, linespacing=1.4)
    parts = np.ravel(figure.subfigures(len(runs), 1, height_ratios=heights, squeeze=False))
    for part, (heading, run) in zip(parts, runs.items(), strict=True):
        part.suptitle(heading, x=0.01, ha="left", weight="bold", size=9.5)
        if isinstance(run, str):
            part.text(0.01, 0.35, run, color=MUTED, va="center")
            continue
        steps, mi, factors = run
        coloured, grey = _shown(mi, limit, len(mi[0]))
        axes = list(part.subplots(1, columns, squeeze=False).flat)
        for f, (axis, factor) in enumerate(zip(axes, factors, strict=False)):
            _traced(axis, steps, mi[:, :, f], coloured, grey)
            axis.set_title(factor, weight="normal")
            axis.set_ylim(0, tops[factor])
            axis.set_xlabel("training step")
            axis.set_ylabel("MI (nats)" if f == 0 else "")
            axis.tick_params(color=RULE, labelcolor=MUTED, labelsize=8, length=3, width=0.8)
        blank(axes[len(factors) :])
        handles = _legend(mi, coloured, grey)
        part.legend(handles=handles, loc="outside right upper", title="latent", alignment="left")
    return figure


def _shown(mi: np.ndarray, limit: int, traces: int) -> tuple[list[int], list[int]]:
    """Which latents of mi [T, D, F] are coloured, the most informative ever, and which grey."""
    peak = np.nan_to_num(mi).max(axis=(0, 2))
    order = [d for d in np.argsort(-peak, kind="stable") if np.isfinite(mi[:, d]).any()]
    coloured = [d for d in order[:limit] if peak[d] >= 0.05 * peak.max()]
    return coloured, order[len(coloured) : len(coloured) + traces]


def _traced(
    axis: Axes, steps: np.ndarray, mi: np.ndarray, coloured: Sequence[int], grey: Sequence[int]
) -> None:
    """A line a latent of mi [T, D]."""
    for d in grey:
        axis.plot(steps, mi[:, d], color=RULE, linewidth=0.8)
    for i, d in reversed(list(enumerate(coloured))):
        measured = np.isfinite(mi[:, d])
        x, y = steps[measured], mi[measured, d]
        axis.plot(x, y, linewidth=1.7, **dots(len(x)), **line(i))
    step_axis(axis)


def _top(mi: np.ndarray, f: int) -> float:
    """Of a panel's axis. A factor that nobody knows must not look known by being enlarged."""
    found = np.nan_to_num(mi)
    return float(1.06 * max(found[:, :, f].max(), 0.15 * found.max(), 1e-3))


def _legend(mi: np.ndarray, coloured: Sequence[int], grey: Sequence[int]) -> list[Line2D]:
    handles = [
        Line2D([], [], linewidth=2, label=latent_name(d), **line(i)) for i, d in enumerate(coloured)
    ]
    others = mi.shape[1] - len(coloured)
    if others:
        label = f"{others} other{'s' * (others > 1)}"
        label += f", {len(grey)} drawn" if len(grey) < others else ""
        handles.append(Line2D([], [], color=RULE, label=label))
    return handles
