"""Finished pictures on one page, each under its heading, or words where there is none."""

from collections.abc import Mapping
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw

from devae_jax.viz.sheet import MARGIN, TEXT, TITLE, font
from devae_jax.viz.style import INK, MUTED, RULE

HEAD, LINE = 46, 26  # px, of a heading, of a line of words
NARROWEST = 640  # px, of a column, so that words have room


def beside(
    pictures: Mapping[str, np.ndarray | str], *, title: str, note: str = "", columns: int = 2
) -> np.ndarray:
    """Pictures uint8 [h, w, 3] in reading order, as they are; returns uint8 [height, width, 3].

    Args:
      pictures: heading -> a picture, or why there is none, in words.
      note: printed below the title, in lines as long as the page is wide.
      columns: the most beside one another.
    """
    columns = min(columns, len(pictures))
    drawn = [picture for picture in pictures.values() if not isinstance(picture, str)]
    column = max([NARROWEST, *(picture.shape[1] for picture in drawn)])
    width = 2 * MARGIN + columns * column
    notes, head = _wrapped(note, width - 2 * MARGIN), MARGIN + TITLE + 14
    top = head + LINE * len(notes) + 10

    entries = list(pictures.items())
    rows = [entries[i : i + columns] for i in range(0, len(entries), columns)]
    heights = [HEAD + max(_height(picture, column) for _, picture in row) for row in rows]
    page = Image.new("RGB", (width, top + sum(heights) + MARGIN), "white")
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN + 14), title, font=font(TITLE + 4, True), fill=INK, anchor="lm")
    _write(draw, MARGIN, head, notes)
    for row, height in zip(rows, heights, strict=True):
        draw.line((MARGIN, top, width - MARGIN, top), fill=RULE, width=2)
        for i, (heading, picture) in enumerate(row):
            x, y = MARGIN + i * column, top + HEAD
            draw.text((x, top + 28), heading, font=font(TITLE, True), fill=INK, anchor="lm")
            if isinstance(picture, str):
                _write(draw, x, y, _wrapped(picture, column - MARGIN))
            else:
                page.paste(Image.fromarray(picture), (x - MARGIN, y))  # it has its own margin
        top += height
    return np.asarray(page)


def _wrapped(words: str, width: int) -> list[str]:
    """Lines that are at most `width` pixels long, unless a word is."""
    letter = font(TEXT).getlength("n")
    return wrap(words, int(width / letter), break_on_hyphens=False)


def _height(picture: np.ndarray | str, width: int) -> int:
    if isinstance(picture, str):
        return LINE * len(_wrapped(picture, width - MARGIN)) + MARGIN
    return picture.shape[0]


def _write(draw: ImageDraw.ImageDraw, x: int, y: int, lines: list[str]) -> None:
    for i, text in enumerate(lines):
        place = x, y + i * LINE + LINE // 2
        draw.text(place, text, font=font(TEXT), fill=MUTED, anchor="lm")
