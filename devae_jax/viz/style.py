"""One look for every figure: colours, fonts, and how latents and scores are called."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from devae_jax.metrics.registry import SCORES

INK, MUTED, RULE, TRACK = "#1b1b1f", "#686870", "#d4d4da", "#ebebef"
# Okabe & Ito (2008), distinct under every common colour blindness, yellow left out on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
DPI = 200

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlepad": 8.0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}


def pretty(name: str) -> str:
    """A score's printed label, else the name in words: `factor_vae` -> `FactorVAE score`."""
    if name in SCORES:
        return SCORES[name].label
    words = " ".join(name.replace("/", "_").split("_")).strip()
    return words[:1].upper() + words[1:]


def in_nats(label: str, name: str) -> str:
    """A score's label with its unit where that is nats: `KL (nats)`."""
    return label + " (nats)" * (name in SCORES and SCORES[name].unit == "nats")


def titled(name: str) -> str:
    """`pretty`, with the unit where that is nats."""
    return in_nats(pretty(name), name)


def latent_name(index: int) -> str:
    """`z₁₂` for latent 12."""
    return "z" + str(int(index)).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, `–` when it is not finite."""
    return f"{value:.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def line(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th line; dashes change when the colours run out."""
    turn, colour = divmod(index, len(PALETTE))
    return {"color": PALETTE[colour], "linestyle": DASHES[turn % len(DASHES)]}


def dots(count: int) -> dict[str, Any]:
    """Markers for a line of so few points that one should see where they are."""
    return {"marker": "o", "markersize": 3} if count < 20 else {}


def panels(rows: int, columns: int, *, width: float, height: float, **kw) -> tuple[Figure, list]:
    """A figure of `rows` x `columns` panels of width x height inches, and its axes in order.

    Built without pyplot: no global figure list, safe in threads, closed by being forgotten.
    """
    size = (columns * width, rows * height)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=size, dpi=DPI, layout=layout)
    axes = list(figure.subplots(rows, columns, squeeze=False, **kw).flat)
    for axis in axes:
        axis.tick_params(color=RULE, labelcolor=MUTED, labelsize=8, length=3, width=0.8)
    return figure, axes


def step_axis(axis: Axes) -> None:
    """Training steps along x as 0, 10k, 20k, with light horizontal guides."""
    axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if abs(x) >= 1000 else f"{x:g}")
    axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="y", color=TRACK, linewidth=0.8)
    axis.margins(x=0.02)


def empty(message: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    figure, (axis,) = panels(1, 1, width=4.5, height=1.2)
    axis.axis("off")
    axis.text(0.5, 0.5, message, ha="center", va="center", color=MUTED)
    return figure


def blank(axes: Iterable[Axes]) -> None:
    """Hide panels that the grid has but the data does not."""
    for axis in axes:
        axis.set_visible(False)
