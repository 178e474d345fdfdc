"""Which latent knows which factor, and how good a representation is on all metrics."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from devae_jax.viz.images import layer_names
from devae_jax.viz.rows import Row, number_of
from devae_jax.viz.style import (
    INK,
    MUTED,
    PALETTE,
    RC,
    TRACK,
    empty,
    latent_name,
    number,
    panels,
    pretty,
)
from devae_jax.viz.traversals import by_kl

_SHADES = ["#ffffff", "#a8cbe6", PALETTE[0], "#003a5c"]
BLUES = LinearSegmentedColormap.from_list("blues", _SHADES).with_extremes(bad=TRACK)
_DOT = Path.unit_circle().transformed(Affine2D().scale(0.08))
DOTS = Path.make_compound_path(  # a dotted line, upright
    *(_DOT.transformed(Affine2D().translate(0, height)) for height in (-0.4, 0, 0.4))
)


@matplotlib.rc_context(RC)
def mutual_information(
    mi: np.ndarray,
    factors: Sequence[str],
    *,
    kl: np.ndarray | None = None,
    limit: int = 16,
    title: str = "Mutual information of latents and factors (nats)",
) -> Figure:
    """A heatmap of mi [D, F] in nats, every cell annotated, each factor's best latent framed.

    Args:
      kl: [D] nats; when given, rows are sorted by it as the traversals are, else by index.
      limit: the most rows drawn: the latents with the largest KL, or the largest MI.

    Raises: ValueError unless mi is [D, F] with one name a factor.
    """
    mi = np.asarray(mi, float)
    if mi.ndim != 2 or mi.shape[1] != len(factors):
        raise ValueError(
            f"got mi of shape {mi.shape} for {len(factors)} factors, expected [D, F]; "
            "fix the factor names or transpose"
        )
    rows = by_kl(np.nan_to_num(mi).max(axis=1) if kl is None else kl, limit=limit)
    rows = np.sort(rows) if kl is None else rows
    shown, top = mi[rows], max(float(np.nan_to_num(mi).max()), 1e-6)

    size = {"width": 1.9 + 0.85 * len(factors), "height": 1.1 + 0.3 * len(rows)}
    figure, (axis,) = panels(1, 1, **size)
    picture = axis.imshow(np.ma.masked_invalid(shown), cmap=BLUES, vmin=0, vmax=top, aspect="auto")
    for (r, f), value in np.ndenumerate(shown):
        colour = "white" if value > 0.45 * top else INK
        axis.text(f, r, number(value), ha="center", va="center_baseline", color=colour)
    for f, column in enumerate(np.nan_to_num(shown).T):
        box = (f - 0.47, column.argmax() - 0.45)
        axis.add_patch(
            matplotlib.patches.Rectangle(box, 0.94, 0.9, fill=False, ec=PALETTE[1], lw=1.8)
        )
    axis.set_xticks(range(len(factors)), factors)
    names = [latent_name(d) + (f"   KL {number(kl[d])}" if kl is not None else "") for d in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.tick_params(length=0, labelcolor=INK, labelsize=8.5, top=False)
    axis.spines[:].set_visible(False)
    axis.set_title(title)
    hidden = len(mi) - len(rows)
    note = "frame: the factor's most informative latent"
    note += f"; {hidden} of {len(mi)} latents not shown" if hidden else ""
    axis.set_xlabel(note, fontsize=7.5)
    bar = figure.colorbar(picture, cax=axis.inset_axes((1.02, 0, 0.15 / len(factors), 1)))
    bar.ax.spines[:].set_visible(False)
    bar.ax.tick_params(length=0, labelcolor=MUTED, labelsize=7.5)
    return figure


def bounded(row: Row) -> bool:
    """Whether a row is a score from 0 to 1 of which more is better: a bar makes sense."""
    good = row.get("better") == "higher" and not row.get("unit")
    return good and list(row.get("range") or ()) == [0, 1] and np.isfinite(number_of(row, "value"))


@matplotlib.rc_context(RC)
def score_bars(
    rows: Iterable[Row],
    *,
    layer_labels: Sequence[str] | None = None,
    representation: str = "mean",
    title: str = "Scores",
) -> Figure:
    """Bars from 0 to 1 for each metric and latent layer; the protocol "exact" has its own panel.

    Args:
      rows: dictionaries {layer, representation, protocol, metric, value, better, range, unit,
        floor?, ceiling?}. The grey track behind a bar runs from the floor (a noise code's
        score) to the ceiling (a perfect code's). Several rows with the same labels (seeds,
        members): the bar is their mean and each is a dot. Rows of another range or with a unit
        (nats, latents), and those of which less is better, are not drawn.
      representation: which codes are shown.
    """
    rows = [r for r in rows if bounded(r) and r.get("representation") in (representation, None)]
    if not rows:
        return empty("No score between 0 and 1 was recorded")
    exact = list(dict.fromkeys(row.get("protocol") == "exact" for row in rows))
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    layers = sorted({int(row.get("layer") or 0) for row in rows})

    height = 1.1 + len(metrics) * (0.12 + 0.12 * len(layers))
    figure, axes = panels(1, len(exact), width=4.6, height=height, sharey=True)
    thickness = 0.8 / len(layers)
    drawn: dict[int | None, None] = {}
    for axis, is_exact in zip(axes, exact, strict=True):
        for m, metric in enumerate(metrics):
            wanted = is_exact, metric
            mine = [r for r in rows if (r.get("protocol") == "exact", r["metric"]) == wanted]
            bars = _by_layer(mine)
            drawn |= dict.fromkeys(bars)
            for i, (layer, same) in enumerate(bars.items()):
                y = m + (i - (len(bars) - 1) / 2) * thickness
                colour = MUTED if layer is None else PALETTE[layer % len(PALETTE)]
                _bar(axis, y, thickness, same, colour)
        axis.set_yticks(range(len(metrics)), [pretty(metric) for metric in metrics])
        axis.set_ylim(len(metrics) - 0.4, -0.6)
        axis.set_xlim(0, 1.12)
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.tick_params(axis="y", length=0, labelcolor=INK, labelsize=8.5)
        axis.spines["bottom"].set_bounds(0, 1)
        axis.set_title(f"{title}, protocol exact" if is_exact else title)
    names = layer_names(max(layers) + 1, layer_labels if layer_labels else None)
    legend: list[Artist] = [
        Patch(color=PALETTE[i % len(PALETTE)], label=names[i]) for i in layers if i in drawn
    ]
    if None in drawn:
        legend.append(Patch(color=MUTED, label="equal in all layers"))
    if any(np.isfinite(number_of(row, bound)) for row in rows for bound in ("floor", "ceiling")):
        mark: dict[str, Any] = {
            "color": INK,
            "linestyle": "",
            "markeredgewidth": 1.5,
            "markersize": 8,
        }
        legend.append(Line2D([], [], marker=DOTS, label="floor: noise code", **mark))
        legend.append(Line2D([], [], marker="|", label="ceiling: perfect code", **mark))
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=3 * len(exact),
        handlelength=1.2,
        columnspacing=1.2,
    )
    return figure


def _by_layer(rows: Sequence[Row]) -> dict[int | None, list[Row]]:
    """Rows of one score by latent layer; under None where all of several layers are alike.

    Scaling the axes, as layers of DeVAE do, does not change most scores.
    """
    found: dict[int | None, list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row.get("layer") or 0)):
        found.setdefault(int(row.get("layer") or 0), []).append(row)
    means = [np.mean([number_of(row, "value") for row in mine]) for mine in found.values()]
    alike = len(found) > 1 and np.ptp(means) < 1e-3
    return {None: next(iter(found.values()))} if alike else found


def _bar(axis: Axes, y: float, thickness: float, rows: list[Row], colour: str) -> None:
    """The mean of rows as a bar on its track, with the numbers beside."""
    values = np.array([number_of(row, "value") for row in rows])
    floor, ceiling = (
        float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")
        for found in ([number_of(row, bound) for row in rows] for bound in ("floor", "ceiling"))
    )
    low, high = np.nan_to_num(floor, nan=0.0), np.nan_to_num(ceiling, nan=1.0)
    axis.barh(y, high - low, thickness * 0.98, left=low, color=TRACK)
    axis.barh(y, values.mean(), thickness * 0.62, color=colour)
    for bound, style in ((floor, (0, (1.2, 1))), (ceiling, "-")):
        ends = (y - thickness * 0.49, y + thickness * 0.49)
        axis.plot([bound, bound], ends, color=INK, linewidth=1.2, linestyle=style)
    if len(values) > 1:
        axis.plot(values, np.full(len(values), y), "o", color=INK, markersize=1.8)
    place = max(values.max(), np.nan_to_num(ceiling)) + 0.015
    axis.text(place, y, number(values.mean()), va="center", fontsize=6.5, color=INK)
