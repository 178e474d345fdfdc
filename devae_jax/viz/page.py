"""The frame of every HTML page: one file, which asks nothing of any network.

It follows the reader's light or dark scheme, prints on white paper, and fits a phone.
"""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

SHOWN = 0.7  # page pixels for a picture's pixel: sharp on dense screens, text of 14 to 17 px
ROOM = 10_000_000  # bytes of embedded pictures, a third more in base64: pages stay under 15 MB
# The page's own style and scripts run, its embedded pictures show; all else is refused.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1f; --muted: #62626a;
  --rule: #e3e3e8; --accent: #0068a5; --raised: #f5f5f8; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #141418; --ink: #ececf1;
  --muted: #a3a3ae; --rule: #34343d; --accent: #6cbcf0; --raised: #1f1f26; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 56px 32px 96px; }
h1 { font-size: 32px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 6px;
  overflow-wrap: anywhere; }
h2 { font-size: 21px; letter-spacing: -.01em; margin: 56px 0 4px; padding-top: 20px;
  border-top: 1px solid var(--rule); }
h3 { font-size: 16px; margin: 24px 0 4px; overflow-wrap: anywhere; }
p, ul { margin: 0 0 14px; max-width: 68ch; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.muted { color: var(--muted); }
nav { margin: 18px 0 0; font-size: 14px; line-height: 2; }
nav a { text-decoration: none; margin-right: 18px; white-space: nowrap; }
figure { margin: 16px 0 28px; overflow-x: auto; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; align-items: start; }
.grid figure { margin: 12px 0 14px; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border-radius: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; }
th, td { padding: 6px 22px 6px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
td.n, th.n { text-align: right; }
td.faint { color: var(--muted); }
table.config th { font-weight: 400; color: var(--muted); padding-right: 32px;
  vertical-align: top; }
table.config td { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13.5px;
  white-space: normal; overflow-wrap: anywhere; min-width: 12ch; }
button, select, input[type=search] { font: inherit; font-size: 14px; color: var(--ink);
  background: var(--raised); border: 1px solid var(--rule); border-radius: 6px;
  padding: 4px 12px; }
button { cursor: pointer; }
pre { background: var(--raised); padding: 12px 14px; border-radius: 6px; font-size: 13.5px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media screen and (prefers-color-scheme: dark) { figure img { padding: 6px;
  filter: brightness(.92); } }
@media (max-width: 640px) { main { padding: 28px 16px 64px; } h1 { font-size: 25px; }
  h2 { margin-top: 40px; } figure img { max-width: max(100%, 560px); }
  .grid { display: block; } .grid figure img { max-width: 100%; }
  table.config th { white-space: normal; overflow-wrap: anywhere; padding-right: 14px;
  min-width: 13ch; } }
@media print { main { padding: 0; max-width: none; }
  nav, .controls, .help { display: none !important; }
  figure, .card, .unit, tr, h2, h3 { break-inside: avoid; }
  section:has(> figure):not(:has(> figure ~ figure)) { break-inside: avoid; }
  h2::after { content: ''; display: block; height: 120mm; margin-bottom: -120mm; }
  .unit img { max-height: 90mm; width: auto; }
  .scroll, figure { overflow: visible; } figure img { max-width: 100%; } body { font-size: 11pt; }
  table { font-size: 8.5pt; } th, td { white-space: normal; padding: 3px 8px 3px 0; } }
"""


class Part(NamedTuple):
    """One section of a page. heading and text are plain; content is HTML, already escaped."""

    heading: str
    text: str
    content: str


def page(
    title: str,
    parts: Iterable[Part],
    *,
    subtitle: str = "",
    note: str = "",
    css: str = "",
    script: str = "",
) -> str:
    """The page as HTML text; title, subtitle and note are plain text and are escaped.

    Args:
      css, script: the page's own, besides `CSS`; trusted, never made from names.
    """
    parts = list(parts)
    links = " ".join(f'<a href="#{i}">{escape(p.heading)}</a>' for i, p in enumerate(parts))
    body = "".join(
        f'<section id="{i}"><h2>{escape(p.heading)}</h2>'
        f"{f'<p class=muted>{escape(p.text)}</p>' if p.text else ''}{p.content}</section>\n"
        for i, p in enumerate(parts)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{CSS}{css}</style></head>\n<body><main>"
        f'<header><h1>{escape(title)}</h1><p class="muted">{escape(subtitle)}</p>'
        f"{f'<p>{escape(note)}</p>' if note else ''}"
        f'<nav aria-label="Sections">{links}</nav></header>\n{body}</main>'
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def figure(alt: str, content: bytes) -> str:
    """A PNG or GIF, embedded, with what it shows in words."""
    with Image.open(io.BytesIO(content)) as image:
        width = round(image.width * SHOWN)
    alt = escape(alt)
    return f'<figure><img alt="{alt}" width="{width}" src="{data_uri(content)}"></figure>'


def unit(heading: str, content: str) -> str:
    """HTML under a plain heading, which a printer keeps together with it where a page has room."""
    return f'<div class="unit"><h3>{escape(heading)}</h3>{content}</div>'


def figures(pictures: Sequence[tuple[str, Path]], room: int = ROOM) -> str:
    """Files as figures, (what it shows, file), as long as they fit; of the others, their names."""
    parts = []
    for alt, path in pictures:
        content = path.read_bytes()
        room -= len(content)
        left_out = f"<p>{escape(path.name)}, beside this page, is too large to show here.</p>"
        parts.append(figure(alt, content) if room >= 0 else left_out)
    return "".join(parts)


def data_uri(content: bytes) -> str:
    """The bytes of a PNG, GIF or JPEG as an address that holds them."""
    kinds = {b"\x89PNG": "png", b"GIF8": "gif", b"\xff\xd8\xff\xe0": "jpeg"}
    return f"data:image/{kinds[content[:4]]};base64,{base64.b64encode(content).decode()}"


def embedded(name: str, value: Any) -> str:
    """JSON that the page's script reads; no text in it can end the element."""
    text = json.dumps(value).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'
