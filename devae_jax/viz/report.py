"""One self-contained HTML page about a run: pictures, scores and configuration."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from devae_jax.viz.images import layer_names
from devae_jax.viz.rows import Row, number_of
from devae_jax.viz.style import number, pretty

SHOWN = 0.7  # page pixels for a picture's pixel: sharp on dense screens, text of 14 to 17 px

CSS = """
:root { --ink: #1b1b1f; --muted: #686870; --rule: #e3e3e8; --accent: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 56px 32px 96px; }
h1 { font-size: 32px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 6px; }
h2 { font-size: 21px; letter-spacing: -.01em; margin: 56px 0 4px; padding-top: 20px;
  border-top: 1px solid var(--rule); }
p { margin: 0 0 14px; max-width: 68ch; }
.muted, figcaption { color: var(--muted); }
nav { margin: 18px 0 0; font-size: 14px; }
nav a { color: var(--accent); text-decoration: none; margin-right: 18px; white-space: nowrap; }
figure { margin: 16px 0 28px; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 14px; margin-top: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; }
th, td { padding: 6px 22px 6px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
td.n, th.n { text-align: right; }
td.faint { color: var(--muted); }
table.config th { font-weight: 400; color: var(--muted); padding-right: 32px; }
table.config td { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13.5px;
  white-space: normal; overflow-wrap: anywhere; }
@media print { main { padding: 0; } nav { display: none; } figure { break-inside: avoid; } }
"""


class Section(NamedTuple):
    """A heading, a sentence, and pictures as (caption, file)."""

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
) -> str:
    """The page as HTML text; PNG and GIF files are embedded, nothing outside is referred to.

    Args:
      scores: rows {layer, representation, protocol, metric, value, floor?, ceiling?}; rows
        that differ only in seed or member are given as mean ± standard deviation.
      config: nested; printed with dotted keys.
      note: a sentence under the subtitle.
    """
    parts = [(s.heading, s.text, "".join(map(_figure, s.pictures))) for s in sections]
    if table := score_table(scores, layer_labels):
        text = "Floor and ceiling are the scores of a noise code and of a perfect code."
        parts.append(("Score table", text if "Floor" in table else "", table))
    if config:
        parts.append(("Configuration", "", config_table(config)))
    links = " ".join(
        f'<a href="#{i}">{escape(heading)}</a>' for i, (heading, *_) in enumerate(parts)
    )
    body = "".join(
        f'<section id="{i}"><h2>{escape(heading)}</h2>'
        f"{f'<p class=muted>{escape(text)}</p>' if text else ''}{content}</section>\n"
        for i, (heading, text, content) in enumerate(parts)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>"
        f'<header><h1>{escape(title)}</h1><p class="muted">{escape(subtitle)}</p>'
        f"{f'<p>{escape(note)}</p>' if note else ''}"
        f"<nav>{links}</nav></header>\n{body}</main></body></html>\n"
    )


def _figure(picture: tuple[str, Path]) -> str:
    caption, path = picture
    data = base64.b64encode(path.read_bytes()).decode()
    with Image.open(path) as image:
        width = round(image.width * SHOWN)
    source = f"data:image/{path.suffix[1:]};base64,{data}"
    tag = f'<img alt="{escape(caption)}" width="{width}" src="{source}">'
    return f"<figure>{tag}<figcaption>{escape(caption)}</figcaption></figure>"


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
        body += f"<tr><th>{escape(pretty(str(key[0])))}</th>"
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
    return f'<table class="config"><tbody>\n{lines}</tbody></table>'
