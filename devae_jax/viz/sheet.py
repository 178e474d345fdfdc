"""Contact sheets: images enlarged by whole pixels, with labels beside, above and below.

Pixels are copied, never resampled, so what the decoder says is what the page shows.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from devae_jax.viz.style import INK, MUTED, RULE

CELL = 112  # px, the least height and width of an enlarged image
GAP, MARGIN = 6, 18
TITLE, TEXT, SMALL = 24, 19, 16  # px
NAN_COLOUR = "#D55E00"


def to_rgb(images: np.ndarray) -> np.ndarray:
    """Images [..., H, W, C], uint8 or floats in [0, 1], C of 1 or 3, as uint8 [..., H, W, 3].

    Values outside [0, 1] are clipped; NaN shows as orange, so that it cannot pass for black.

    Raises: ValueError on another number of channels or too few dimensions.
    """
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"got images of shape {images.shape}, expected [..., H, W, C] with C of 1 or 3; "
            "fix by adding or selecting channels"
        )
    images = np.broadcast_to(images, (*images.shape[:-1], 3))
    if images.dtype == np.uint8:
        return images.copy()
    images = images.astype(np.float32)
    pixels = np.rint(255 * np.clip(np.nan_to_num(images), 0, 1)).astype(np.uint8)
    return np.where(np.isnan(images), np.array(ImageColor.getrgb(NAN_COLOUR), np.uint8), pixels)


def upscale(images: np.ndarray, factor: int) -> np.ndarray:
    """Each pixel of images [..., H, W, C] becomes a factor x factor block."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships and which knows β, ₃ and −."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def _lines(label: str, first_bold: bool) -> list[tuple[str, ImageFont.FreeTypeFont, str]]:
    """A label's lines with font and colour: the first stands out, the rest explains."""
    first, *rest = label.split("\n")
    return [(first, font(TEXT, first_bold), INK), *((text, font(SMALL), MUTED) for text in rest)]


def _width(labels: Sequence[str], first_bold: bool) -> int:
    lines = [line for label in labels for line in _lines(label, first_bold)]
    return max((int(np.ceil(face.getlength(text))) for text, face, _ in lines), default=0)


def _height(labels: Sequence[str]) -> int:
    return max((24 + 21 * label.count("\n") for label in labels), default=0)


def _write(draw: ImageDraw.ImageDraw, x: float, y: float, label: str, *, anchor: str, bold: bool):
    """Write a label downwards from y; anchor "l" starts at x, "m" is centred on it."""
    for text, face, colour in _lines(label, bold):
        draw.text((x, y + 11), text, font=face, fill=colour, anchor=anchor + "m")
        y += 24 if colour == INK else 21


def sheet(
    cells: np.ndarray,
    *,
    title: str = "",
    note: str = "",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[str] = (),
    rule_after: int | None = None,
) -> np.ndarray:
    """Arrange images [R, C, H, W, 1 or 3] in a labelled grid; returns uint8 [height, width, 3].

    Args:
      title, note: printed on top, bold and grey.
      rows: a label left of each row; lines after the first are smaller.
      columns: a label above each column.
      captions: a label below each cell in row-major order; fewer than R·C leave cells blank.
      rule_after: a thin line is drawn below this row.
    """
    pixels = to_rgb(cells)
    factor = -(-CELL // min(pixels.shape[2:4]))
    pixels = upscale(pixels, factor)
    n_rows, n_columns, height, width = pixels.shape[:4]

    text_width = max(_width([title], True) * TITLE // TEXT, _width([note], False))
    gutter = _width(rows, True) + 16 if rows else 0
    pitch_x = max(width, _width(captions, True)) + GAP + (8 if captions else 0)
    pitch_y = height + GAP + (_height(captions) + 12 if captions else 0)
    rule = 10 if rule_after is not None else 0
    top = MARGIN + (38 if title else 0) + (30 if note else 0) + (28 if columns else 0)
    left = MARGIN + gutter
    shape = (
        max(left + n_columns * pitch_x - GAP, MARGIN + text_width) + MARGIN,
        top + n_rows * pitch_y - GAP + rule + MARGIN,
    )

    page = Image.new("RGB", shape, "white")
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((MARGIN, MARGIN + 14), title, font=font(TITLE, True), fill=INK, anchor="lm")
    if note:
        y = MARGIN + (38 if title else 0) + 10
        draw.text((MARGIN, y), note, font=font(TEXT), fill=MUTED, anchor="lm")
    for c, label in enumerate(columns):
        _write(draw, left + c * pitch_x + width / 2, top - 26, label, anchor="m", bold=False)

    for r in range(n_rows):
        y = top + r * pitch_y + (rule if rule_after is not None and r > rule_after else 0)
        if rows:
            middle = y + (height - _height([rows[r]])) / 2
            _write(draw, MARGIN, middle, rows[r], anchor="l", bold=True)
        for c in range(n_columns):
            x = left + c * pitch_x
            if captions:
                if r * n_columns + c >= len(captions):
                    continue
                x += (pitch_x - GAP - width) // 2
                label = captions[r * n_columns + c]
                _write(draw, x + width / 2, y + height + 6, label, anchor="m", bold=True)
            # A hairline keeps images with a white background apart from the page.
            draw.rectangle((x - 1, y - 1, x + width, y + height), outline=RULE)
            page.paste(Image.fromarray(pixels[r, c]), (x, y))
        if r == rule_after:
            y += height + (GAP + rule) // 2
            draw.line((left, y, left + n_columns * pitch_x - GAP, y), fill=RULE, width=2)
    return np.asarray(page)


def in_columns(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [N, H, W, C] as [R, columns, H, W, C]; the last row is filled up with white."""
    missing = -len(images) % columns
    white = np.full((missing, *images.shape[1:]), 255 if images.dtype == np.uint8 else 1)
    padded = np.concatenate([images, white.astype(images.dtype)])
    return padded.reshape(-1, columns, *images.shape[1:])
