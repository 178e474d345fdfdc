"""All figures of a run in one call: what the end of training and `visualize` both use."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devae_jax.types import Posterior
from devae_jax.viz.curves import information_diffusion, training_curves
from devae_jax.viz.explorer import SOURCES, explorer
from devae_jax.viz.images import layer_names, reconstructions, samples
from devae_jax.viz.report import Section, report
from devae_jax.viz.rows import Row, series
from devae_jax.viz.save import Picture, save
from devae_jax.viz.scores import bounded, mutual_information, score_bars
from devae_jax.viz.traversals import Decode, latent_labels, traversal_frames, traversals

BATCH, NUM_RECONSTRUCTED = 64, 10


def in_batches(decode: Decode, size: int = BATCH) -> Decode:
    """The same decoder, always called with `size` codes: it compiles once, memory is bounded."""

    def batched(z: np.ndarray, layer: int) -> np.ndarray:
        padded = np.concatenate([z, np.zeros((-len(z) % size, z.shape[1]), z.dtype)])
        images = [
            np.asarray(decode(padded[i : i + size], layer)) for i in range(0, len(padded), size)
        ]
        return np.concatenate(images)[: len(z)]

    return batched


def figures(
    *,
    images: np.ndarray,
    encode: Callable[[np.ndarray], Posterior],
    decode: Decode,
    kl: np.ndarray,
    mi: np.ndarray | None = None,
    factors: Sequence[str] = (),
    layer_labels: Sequence[str] | None = None,
    rows: Iterable[Row] = (),
    scores: Iterable[Row] = (),
    threshold: float = 0.5,
    limit: int = 12,
    base: int = 0,
) -> dict[str, Picture]:
    """Every figure that the given data allows, by file name; `.gif` ones are frames.

    Args:
      images: [N, H, W, C] in [0, 1]; the first 10 are reconstructed.
      encode: images -> Posterior with leaves [K, N, D].
      decode: z [N, D], layer -> images [N, H, W, C] in [0, 1].
      kl: [K, D] KL of each latent in each layer, nats.
      mi: [D, F] mutual information of latents and factors, nats; None without ground truth.
      factors: [F] names.
      layer_labels: [K] what distinguishes the layers, as `β=1`.
      rows: training metrics, see `training_curves`; `mi` in them, [D, F] or
        [K, D, F], gives the diffusion.
      scores: evaluation rows, see `score_bars`.
      threshold: traversals leave out latents with KL <= threshold nats.
      limit: the most latents traversed.
      base: which image's mean code the traversals start from.
    """
    rows, scores, decode = list(rows), list(scores), in_batches(decode)
    mean, kl = np.asarray(encode(images[:NUM_RECONSTRUCTED]).mean), np.asarray(kl)
    expected = (mean.shape[0], mean.shape[2])
    if kl.shape != expected:
        raise ValueError(f"got kl of shape {kl.shape}, expected [K, D] = {expected}; fix kl")
    if mi is not None and np.shape(mi) != (expected[1], len(factors)):
        expected = (expected[1], len(factors))
        raise ValueError(f"got mi of shape {np.shape(mi)}, expected [D, F] = {expected}; fix mi")
    names = layer_names(len(kl), layer_labels)
    decoded = np.stack([decode(codes, layer) for layer, codes in enumerate(mean)])

    drawn: dict[str, Picture] = {
        "samples.png": samples(images),
        "reconstructions.png": reconstructions(
            images[:NUM_RECONSTRUCTED], decoded, labels=layer_labels
        ),
    }
    for layer, name in enumerate(names):
        arguments: dict[str, Any] = {
            "kl": kl[layer],
            "labels": latent_labels(kl[layer], mi, factors),
            "layer": layer,
            "threshold": threshold,
            "limit": limit,
            "title": f"Latent traversals, {name}",
        }
        code = mean[layer, base]
        drawn[f"traversals_layer{layer}.png"] = traversals(decode, code, **arguments)
        drawn[f"traversals_layer{layer}.gif"] = traversal_frames(decode, code, **arguments)
    if mi is not None:
        drawn["mutual_information.png"] = mutual_information(mi, factors, kl=kl[0])
    if rows:
        drawn["training.png"] = training_curves(rows, layer_labels=layer_labels)
        steps, history = series(rows, "mi")
        if history.ndim == 4:  # [T, K, D, F]: the first layer, from which the others are scaled
            history = history[:, 0]
        if history.ndim == 3 and history.shape[2] == len(factors):
            drawn["information_diffusion.png"] = information_diffusion(steps, history, factors)
    if any(map(bounded, scores)):
        drawn["scores.png"] = score_bars(scores, layer_labels=layer_labels)
    return drawn


_PAGE = (
    ("Reconstructions", "The input above what each latent layer makes of it.", "reconstructions"),
    (
        "Latent traversals",
        "One latent moves from −2 to 2 deviations of the prior, the others keep the mean code of "
        "one image. A disentangled latent changes a single factor.",
        "traversals",
    ),
    ("Mutual information", "How much each latent tells about each factor.", "mutual_information"),
    ("Scores", "Each score between its floor and its ceiling.", "scores"),
    ("Training", "", "training"),
    (
        "Information diffusion",
        "Information that a latent holds on a factor, over training.",
        "information_diffusion",
    ),
    ("Data", "", "samples"),
)
_NO_FACTORS = "The data set has no factors: scores and figures that need them are left out."


def draw_all(
    folder: str | os.PathLike,
    *,
    title: str = "Run",
    subtitle: str = "",
    config: Mapping[str, Any] | None = None,
    scores: Iterable[Row] = (),
    layer_labels: Sequence[str] | None = None,
    factors: Sequence[str] = (),
    **given: Any,
) -> dict[str, Path]:
    """Write all `figures` and `report.html` into a folder; returns file name -> path.

    Args are those of `figures`, and the page's title, subtitle and nested config. Of data
    without factors the page says what is left out. The page moves by sliders, GIFs are files.
    """
    scores = list(scores)
    codes = given["encode"](given["images"][:NUM_RECONSTRUCTED])  # once, for figures and sliders
    given = given | {"encode": lambda _: codes}
    drawn = figures(scores=scores, layer_labels=layer_labels, factors=factors, **given)
    sliders = explorer(
        in_batches(given["decode"]),
        np.asarray(codes.mean)[:, :SOURCES],
        given["images"][:SOURCES],
        given["kl"],
        mi=given.get("mi"),
        factors=factors,
        layer_labels=layer_labels,
    )
    paths = {name: save(Path(folder, name), picture) for name, picture in drawn.items()}
    sections = [
        Section(
            heading,
            text,
            [
                (f"{heading}: {text or title}", path)
                for name, path in paths.items()
                if name.startswith(stem) and path.suffix == ".png"
            ],
        )
        for heading, text, stem in _PAGE
        if any(name.startswith(stem) for name in paths)
    ]
    page = report(
        title,
        sections,
        subtitle=subtitle,
        note="" if factors else _NO_FACTORS,
        scores=scores,
        config=config,
        layer_labels=layer_labels,
        sliders=sliders,
    )
    return paths | {"report.html": save(Path(folder, "report.html"), page)}
