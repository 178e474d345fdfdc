"""Pictures and pages as files."""

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from devae_jax.files import storing, write_bytes

Picture = Figure | np.ndarray  # an array is uint8 [h, w, 3], or frames [T, h, w, 3]
COLOURS = 256  # a GIF's palette


def save(path: str | os.PathLike, picture: Picture | str, *, milliseconds: int = 90) -> Path:
    """Write a picture as PNG or GIF, or text as it is, replacing the file in one step.

    Args:
      path: ends in .png (Figure or [h, w, 3]), .gif ([T, h, w, 3]) or anything (str).
      milliseconds: how long each frame of a GIF stays; it repeats for ever.

    Returns the path. Folders are made. Raises: ValueError when suffix and picture disagree,
    StorageError for a disk that is full, gone or read-only.
    """
    path = Path(path)
    if isinstance(picture, str):
        content = picture.encode()
    elif path.suffix == ".gif" and not isinstance(picture, Figure) and picture.ndim == 4:
        content = gif(picture, milliseconds)
    elif path.suffix == ".png" and (isinstance(picture, Figure) or picture.ndim == 3):
        content = png(picture)
    else:
        kind = "Figure" if isinstance(picture, Figure) else f"array {picture.shape}"
        raise ValueError(
            f"got a {kind} for {path.name}, expected a Figure or [h, w, 3] for .png and "
            "[T, h, w, 3] for .gif; fix the suffix"
        )
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


def loaded(path: str | os.PathLike) -> np.ndarray | None:
    """A PNG file as uint8 [h, w, 3]; None where there is none, or it is damaged."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):  # Pillow says "SyntaxError" of a broken chunk
        return None


def png(picture: Picture) -> bytes:
    """A Figure or uint8 [h, w, 3] as PNG bytes."""
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", facecolor="white")
    else:
        Image.fromarray(picture).save(buffer, format="png")
    return buffer.getvalue()


def gif(frames: np.ndarray, milliseconds: int = 90) -> bytes:
    """Frames uint8 [T, h, w, 3] as the bytes of a GIF that repeats for ever.

    One palette for all frames, so that colours do not flicker, and no dithering. Exact up to
    256 colours; beyond, the commonest stay exact and the others go to their nearest neighbour.
    """
    red, green, blue = np.moveaxis(frames.astype(np.int32), -1, 0)
    packed = red << 16 | green << 8 | blue
    count = np.bincount(packed.ravel(), minlength=1 << 24)
    colours = np.flatnonzero(count)
    palette = _palette(frames, colours[np.argsort(-count[colours], kind="stable")])
    lookup = np.zeros(1 << 24, np.uint8)
    for part in np.array_split(colours, len(colours) // 4096 + 1):
        distance = np.square(_channels(part)[:, None] - palette).sum(axis=-1)
        lookup[part] = distance.argmin(axis=1)

    first, *rest = [Image.fromarray(lookup[frame]) for frame in packed]
    for image in (first, *rest):
        image.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    options = {"append_images": rest, "loop": 0, "duration": milliseconds, "optimize": False}
    first.save(buffer, format="gif", save_all=True, **options)
    return buffer.getvalue()


def _channels(colours: np.ndarray) -> np.ndarray:
    """0xRRGGBB [N] as int32 [N, 3]."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)


def _palette(frames: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """At most 256 colours [P, 3] for frames whose colours, commonest first, are 0xRRGGBB [N]."""
    if len(colours) <= COLOURS:
        return _channels(colours)
    tall = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 6)]))
    mixed = tall.quantize(COLOURS // 2, method=Image.Quantize.MEDIANCUT)
    return np.concatenate(
        [_channels(colours[: COLOURS // 2]), np.array(mixed.getpalette()).reshape(-1, 3)]
    )
