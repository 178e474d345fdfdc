"""One self-contained HTML page about a run: pictures, scores and configuration."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from devae_jax.viz import explorer
from devae_jax.viz.images import layer_names
from devae_jax.viz.page import ROOM, Part, figures, page
from devae_jax.viz.rows import Row, number_of
from devae_jax.viz.style import number, titled

SLIDERS = (
    "Every latent moves alone from −2 to 2 deviations of the prior, around the mean code of the "
    "chosen image. Sliders stay where they are when the layer changes."
)


class Section(NamedTuple):
    """A heading, a sentence, and pictures as (what it shows, file)."""

    heading: str
    text: str
    pictures: Sequence[tuple[str, Path]]


def report(
    title: str,
    sections: Iterable[Section],
    *,
    scores: Iterable[Row] = (),
    config: Mapping[str, Any] | None = None,
    layer_labels: Sequence[str] | None = None,
    subtitle: str = "",
    note: str = "",
    sliders: str = "",
) -> str:
    """The page as HTML text; PNG and GIF files are embedded, nothing outside is referred to.

    Args:
      scores: rows {layer, representation, protocol, metric, value, floor?, ceiling?}; rows
        that differ only in seed or member are given as mean ± standard deviation.
      config: nested; printed with dotted keys.
      note: a sentence under the subtitle.
      sliders: HTML of `explorer.explorer`.

    Pictures that would take the page beyond 15 MB are named in their place.
    """
    parts, room, css, script = [], ROOM, "", ""
    if sliders:
        parts.append(Part("Latents, one by one", SLIDERS, sliders))
        room, css, script = room - len(sliders) * 3 // 4, explorer.CSS, explorer.SCRIPT
    for section in sections:
        parts.append(Part(section.heading, section.text, figures(section.pictures, room)))
        room -= sum(path.stat().st_size for _, path in section.pictures)
    if table := score_table(scores, layer_labels):
        text = "Floor and ceiling are the scores of a noise code and of a perfect code."
        parts.append(Part("Score table", text if "Floor" in table else "", table))
    if config:
        parts.append(Part("Configuration", "", config_table(config)))
    return page(title, parts, subtitle=subtitle, note=note, css=css, script=script)


def score_table(rows: Iterable[Row], layer_labels: Sequence[str] | None = None) -> str:
    """Scores as an HTML table: a line for each metric, protocol and codes; a column a layer."""
    rows = [row for row in rows if np.isfinite(number_of(row, "value"))]
    if not rows:
        return ""
    heads = ("metric", "protocol", "representation")
    lines = list(dict.fromkeys(tuple(row.get(h) for h in heads) for row in rows))
    layers = sorted({int(row.get("layer") or 0) for row in rows})
    names = layer_names(max(layers) + 1, layer_labels)
    bounds = [
        bound
        for bound in ("floor", "ceiling")
        if any(np.isfinite(number_of(row, bound)) for row in rows)
    ]
    numeric = [*(names[i] for i in layers), *map(str.capitalize, bounds)]
    head = "".join(f"<th>{h}</th>" for h in ("Metric", "Protocol", "Codes"))
    head += "".join(f'<th class="n">{escape(h)}</th>' for h in numeric)
    body = ""
    for key in lines:
        same = [row for row in rows if tuple(row.get(h) for h in heads) == key]
        cells = [
            _spread([r for r in same if int(r.get("layer") or 0) == i], "value") for i in layers
        ]
        body += f"<tr><th>{escape(titled(str(key[0])))}</th>"
        body += "".join(f"<td>{escape(str(label or '–'))}</td>" for label in key[1:])
        body += "".join(f'<td class="n">{cell}</td>' for cell in cells)
        body += "".join(
            f'<td class="n faint">{_spread(same, bound, False)}</td>' for bound in bounds
        )
        body += "</tr>\n"
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _spread(rows: list[Row], key: str, deviation: bool = True) -> str:
    """Mean ± standard deviation of rows; a bare number when there is only one."""
    values = np.array([number_of(row, key) for row in rows])
    values = values[np.isfinite(values)]
    if not len(values):
        return "–"
    digits = 3 if abs(values.mean()) < 10 else 1
    text = number(values.mean(), digits)
    many = deviation and len(values) > 1
    return f"{text} ± {number(values.std(ddof=1), digits)}" if many else text


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def config_table(config: Mapping[str, Any]) -> str:
    """A configuration as an HTML table of dotted keys and JSON values."""
    lines = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(json.dumps(value, default=str))}</td></tr>\n"
        for key, value in flatten(config).items()
    )
    table = f'<table class="config"><tbody>\n{lines}</tbody></table>'
    return f'<div class="scroll">{table}</div>'
