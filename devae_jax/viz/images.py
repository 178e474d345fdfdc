"""Sheets of data samples and of reconstructions."""

from collections.abc import Sequence

import numpy as np

from devae_jax.viz.sheet import in_columns, sheet, to_rgb


def samples(
    images: np.ndarray,
    *,
    columns: int = 10,
    captions: Sequence[str] = (),
    title: str = "Data samples",
    limit: int = 60,
) -> np.ndarray:
    """A grid of images [N, H, W, C] in [0, 1], in reading order; returns uint8 [h, w, 3].

    Captions, one an image if any, may have several lines. More than `limit` images are
    not drawn, and the title says so.
    """
    total, images = len(images), to_rgb(images[:limit])
    columns = min(columns, len(images))
    note = f"{limit} of {total} images" if total > limit else ""
    cells = in_columns(images, columns)
    return sheet(cells, title=title, note=note, captions=captions[:limit])


def layer_names(count: int, labels: Sequence[str] | None = None) -> list[str]:
    """`layer i` for K layers, followed by the label of each if given, as in `layer 0 (β=1)`.

    Raises: ValueError when there are labels, but not one a layer.
    """
    if labels is None:
        return [f"layer {i}" for i in range(count)]
    if len(labels) != count:
        raise ValueError(f"got {len(labels)} layer labels, expected {count}; fix layer_labels")
    return [f"layer {i} ({label})" if label else f"layer {i}" for i, label in enumerate(labels)]


def reconstructions(
    images: np.ndarray,
    layers: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    errors: Sequence[float] | None = None,
    title: str = "Reconstructions",
    limit: int = 10,
) -> np.ndarray:
    """Images [N, H, W, C] above their reconstructions by every latent layer [K, N, H, W, C].

    Args:
      labels: what distinguishes each layer, as `β=1`.
      errors: [K] reconstruction error of each layer over the data, per image.

    Returns uint8 [h, w, 3]. Raises: ValueError when the shapes disagree.
    """
    images, layers = np.asarray(images), np.asarray(layers)
    if layers.ndim != 5 or layers.shape[1:] != images.shape:
        raise ValueError(
            f"got reconstructions {layers.shape} for images {images.shape}, expected "
            "[K, N, H, W, C] and [N, H, W, C]; fix by decoding the same images in every layer"
        )
    rows = [name.replace(" (", "\n").rstrip(")") for name in layer_names(len(layers), labels)]
    if errors is not None:
        rows = [f"{row}\nerror {error:.1f}" for row, error in zip(rows, errors, strict=True)]
    cells = np.concatenate([to_rgb(images)[None], to_rgb(layers)])[:, :limit]
    note = f"{limit} of {len(images)} images" if len(images) > limit else ""
    return sheet(cells, title=title, note=note, rows=["input", *rows], rule_after=0)
