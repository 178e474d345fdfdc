"""Latent traversals: one latent moves, the others stay, and the decoder shows what changes.

Wu et al. 2022, Fig. 3: latents with KL > 0.5 nats, from -2 to 2.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from devae_jax.viz.sheet import MARGIN, TITLE, font, in_columns, sheet, to_rgb
from devae_jax.viz.style import MUTED, PALETTE, RULE, latent_name, number

Decode = Callable[[np.ndarray, int], np.ndarray]  # z [N, D], layer -> images [N, H, W, C]
VALUES, FINE_VALUES = np.linspace(-2, 2, 9), np.linspace(-2, 2, 17)


def by_kl(kl: np.ndarray, *, threshold: float | None = None, limit: int = 12) -> np.ndarray:
    """Indices of the latents to show, largest KL first, from kl [D] in nats.

    At most `limit`, only those with KL > threshold if there is one; at least the first.
    NaN comes last; where every KL is NaN (a GAN has none) the order is the index.
    """
    kl = np.asarray(kl, float)
    if np.isnan(kl).all():
        return np.arange(min(len(kl), limit))
    kl = np.nan_to_num(kl, nan=-np.inf)
    order = np.argsort(-kl, kind="stable")
    kept = len(order) if threshold is None else max(1, int(np.sum(kl > threshold)))
    return order[: min(kept, limit)]


def latent_labels(
    kl: np.ndarray, mi: np.ndarray | None = None, factors: Sequence[str] = ()
) -> list[str]:
    """Lines for each latent: name, KL [D], best factor by mutual information [D, F], in nats.

    Lines whose number is not known are left out.
    """
    mi = np.full((len(kl), 1), np.nan) if mi is None else np.asarray(mi, float)
    labels = []
    for d, (value, row) in enumerate(zip(kl, mi, strict=True)):
        lines = [latent_name(d)]
        if np.isfinite(value):
            lines.append(f"KL {number(value)}")
        if np.isfinite(row).any():
            best = int(np.nanargmax(row))
            lines.append(f"{factors[best]} {number(row[best])}")
        labels.append("\n".join(lines))
    return labels


def traverse(
    decode: Decode, code: np.ndarray, latents: np.ndarray, values: np.ndarray, layer: int
) -> np.ndarray:
    """Images [L, V, H, W, C] of code [D] with latent l set to each of values [V] in turn."""
    z = np.tile(np.asarray(code, np.float32), (len(latents), len(values), 1))
    z[np.arange(len(latents))[:, None], np.arange(len(values)), latents[:, None]] = values
    images = np.asarray(decode(z.reshape(-1, z.shape[-1]), layer))
    return images.reshape(*z.shape[:2], *images.shape[1:])


def _note(kl: np.ndarray, shown: int, threshold: float | None, mi_shown: bool) -> str:
    """What the rows are, and which latents are missing."""
    kl = np.asarray(kl, float)
    if np.isnan(kl).all():
        return f"{shown} of {len(kl)} latents"
    note = "sorted by KL (nats)" + (", best factor with its MI (nats)" if mi_shown else "")
    active = len(kl) if threshold is None else np.sum(kl > threshold)
    if not active:
        return f"{note}; none of {len(kl)} latents has KL > {threshold:g}, the largest is shown"
    if shown == len(kl):
        return note
    why = f"KL ≤ {threshold:g}" if shown == active else "less KL"
    return f"{note}; {len(kl) - shown} of {len(kl)} latents with {why} not shown"


def traversals(
    decode: Decode,
    mean_code: np.ndarray,
    *,
    kl: np.ndarray,
    labels: Sequence[str] | None = None,
    values: np.ndarray = VALUES,
    layer: int = 0,
    threshold: float | None = None,
    limit: int = 12,
    title: str = "Latent traversals",
) -> np.ndarray:
    """A row of images for each latent of mean_code [D], the most informative first.

    Args:
      decode: z [N, D], layer -> images [N, H, W, C] in [0, 1].
      kl: [D] KL of each latent at this layer, nats.
      labels: [D] row labels, default `latent_labels(kl)`.
      values: [V] what the moving latent is set to, in deviations of the prior.
      threshold: latents with KL <= threshold (nats) are left out.
      limit: the most rows drawn.

    Returns uint8 [h, w, 3]. Source: Wu et al. 2022, Fig. 3.
    """
    latents = by_kl(kl, threshold=threshold, limit=limit)
    labels = latent_labels(kl) if labels is None else labels
    return sheet(
        traverse(decode, mean_code, latents, np.asarray(values), layer),
        title=title,
        note=_note(kl, len(latents), threshold, labels[0].count("\n") > 1),
        rows=[labels[d] for d in latents],
        columns=[f"{v:g}".replace("-", "−") for v in values],
    )


def traversal_frames(
    decode: Decode,
    mean_code: np.ndarray,
    *,
    kl: np.ndarray,
    labels: Sequence[str] | None = None,
    values: np.ndarray = FINE_VALUES,
    layer: int = 0,
    threshold: float | None = None,
    limit: int = 12,
    columns: int = 6,
    title: str = "Latent traversals",
) -> np.ndarray:
    """The frames [2V - 2, h, w, 3] uint8 of an animation: all latents move there and back.

    Arguments as `traversals`; the last frame leads into the first, so it loops without a jump.
    """
    latents = by_kl(kl, threshold=threshold, limit=limit)
    labels = latent_labels(kl) if labels is None else labels
    images = to_rgb(traverse(decode, mean_code, latents, np.asarray(values), layer))
    columns = min(columns, len(latents))
    there = [
        _slider(
            sheet(
                in_columns(images[:, v], columns),
                title=title,
                note=" ",
                captions=[labels[d] for d in latents],
            ),
            value,
            values[0],
            values[-1],
        )
        for v, value in enumerate(values)
    ]
    return np.stack(there + there[-2:0:-1])


def _slider(page: np.ndarray, value: float, low: float, high: float) -> np.ndarray:
    """Draw where between low and high the moving latents stand, under the title."""
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    left, right, y = MARGIN + 8, MARGIN + 168, MARGIN + TITLE + 26
    x = left + (right - left) * (value - low) / (high - low)
    draw.line((left, y, right, y), fill=RULE, width=4)
    draw.line((left, y, x, y), fill=PALETTE[0], width=4)
    draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=PALETTE[0])
    draw.text((right + 20, y), f"z = {number(value)}", font=font(18), fill=MUTED, anchor="lm")
    return np.asarray(image)
