"""From a coder to scores: images are encoded once and every metric shares the codes."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.data.labels import Labels, labels_of
from devae_jax.data.regimes import part
from devae_jax.evaluation.codes import (
    REPRESENTATIONS,
    Coder,
    Sample,
    View,
    bounding_views,
    code_shape,
    draw_sample,
    encoded_views,
)
from devae_jax.evaluation.rows import Row, by_score, make_rows, undefined
from devae_jax.metrics.choice import metrics_of
from devae_jax.metrics.inputs import PROTOCOLS
from devae_jax.metrics.registry import Inputs, Metric
from devae_jax.names import unknown
from devae_jax.types import Dataset

__all__ = ["available", "by_score", "evaluate"]

_BYTES = 1 << 31  # most memory that codes of all images may take


def available(dataset: Dataset, *, decode: bool) -> frozenset[str]:
    """What metrics may need, see `metrics.registry`, of a data set and a coder that decodes, or
    not."""
    there = {"posterior"} | ({"decode"} if decode else set())
    labels = labels_of(dataset)
    if labels is not None:
        there |= {"values"} | ({"grid"} if labels.grid is not None else set())
        there |= {"factors"} if not labels.continuous.all() else set()
        there |= {"continuous"} if labels.continuous.any() else set()
    return frozenset(there)


def evaluate(
    coder: Coder,
    dataset: Dataset,
    *,
    metrics: str | Sequence[str | Metric] = "cheap",
    protocol: str = "dlib",
    layers: str | Sequence[int] = "all",
    representations: Sequence[str] = ("mean",),
    seeds: Sequence[int] = (0, 1, 2),
    calibrate: bool = True,
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 1024,
    images: str = "all",
    progress: bool = True,
) -> list[Row]:
    """Scores of a coder: one row a layer, representation and score.

    Images are encoded once: those of the samples, or all of them where metrics that hold
    factors, or sum over the grid, are asked for and the codes take less than 2 GB. On a larger
    grid metrics that hold factors encode the points that they draw. The test sample is left out
    where no metric looks at it.

    Args:
      metrics: names in `metrics.registry`, "cheap" or "all"; these leave out what the data set
        or the coder does not allow: scores that need factors, or decoded images. A metric of
        your own may stand in place of a name.
      protocol: "dlib" has the sample sizes and definitions of published numbers; "exact" sums
        over the whole factor grid where it can and corrects known faults. A row says which
        definition it holds: metrics of a sample have no exact one.
      layers: "all" or layer numbers.
      representations: of "mean" and "sampled" (one sample z of each posterior).
      seeds: evaluation seeds; each draws its own sample and votes. Costly metrics (DCI) run on
        the first.
      calibrate: also score a noise code (floor) and a perfect code (ceiling) of the same D on
        the same sample, on the first seed; not without factors.
      num_train, num_test: images of a sample; without factors at most all there are, and
        none to test on.
      batch_size: images that are encoded, or decoded, at a time.
      images: "all", or of a data set with held-out combinations of factors those that training
        saw, "trained", or did not see, "held_out".

    Returns:
      Rows {layer, representation, latent_dim, metric, protocol, num_samples, value, low, high
      (95 % interval of the mean over seeds, None for one seed), values, floor, ceiling, better,
      range, unit}, and the first seed's per_factor, per_latent and matrices. A score that is
      not defined for the data set has the value None and a `note` that says why. Rows of a part
      of the images name it under `images`; factors that are not counted are in `nuisance`.

    Raises:
      ValueError: for unknown names, layers or protocols, metrics that need what is not there,
        and for "exact" on a grid that is too large to encode whole.
      DivergedError: a ValueError, for NaN codes.
    """
    if not metrics or not representations:
        raise ValueError(
            f"got metrics={metrics!r} and representations={representations!r}, expected one or "
            "more of each; name some"
        )
    for name in representations:
        if name not in REPRESENTATIONS:
            raise unknown("representation", name, REPRESENTATIONS)
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if not seeds:
        raise ValueError("got no evaluation seeds, expected one or more; pass seeds=(0, 1, 2)")
    dataset = part(dataset, images)
    there = available(dataset, decode=coder.logits is not None)
    chosen = metrics_of(metrics, there if "mean" in representations else there - {"posterior"})
    num_layers, dim = code_shape(coder, dataset)
    layers = _layer_numbers(layers, num_layers)
    samples = [draw_sample(dataset, seed, num_train, num_test) for seed in seeds]
    numbers = _images(dataset, chosen, protocol, samples, num_layers * dim)
    encoded = numbers
    # The noise of sampled codes is drawn image by image: fewer images would change it.
    if "sampled" not in representations and not any(m.tested for m in chosen.values()):
        untested = [sample._replace(test=sample.test[:0]) for sample in samples]
        encoded = _images(dataset, chosen, protocol, untested, num_layers * dim)
    views = encoded_views(
        coder,
        dataset,
        encoded,
        layers,
        representations,
        seed=seeds[0],
        batch_size=batch_size,
        progress=progress,
    )
    labels = labels_of(dataset)
    bounding = bounding_views(dataset, dim, numbers) if calibrate else {}
    if progress:
        size = (len(samples[0].train), dim, () if labels is None else labels.sizes)
        _announce(chosen, size, views=len(views), bounding=len(bounding), seeds=len(seeds))
    rows: list[Row] = []
    for name in _bar(chosen, progress):
        rows += _score(chosen[name], views, bounding, samples, protocol, labels)
    about: Row = {} if images == "all" else {"images": images}
    if dataset.nuisance:
        about["nuisance"] = list(dataset.nuisance)
    return [about | row for row in rows]


def _images(
    dataset: Dataset,
    chosen: Mapping[str, Metric],
    protocol: str,
    samples: Sequence[Sample],
    floats: int,
) -> np.ndarray:
    """The numbers of the images to encode, ascending; `floats` means of each are kept."""
    asked = list(chosen.values())
    fits = dataset.size * floats * 8 < _BYTES  # means and log-variances
    exact = protocol == "exact" and any(metric.exact == "grid" for metric in asked)
    if exact and not fits:
        raise ValueError(
            f"got {floats} latents of {dataset.size:,} images, expected less than 2 GB for "
            'protocol="exact"; use protocol="dlib"'
        )
    if exact or (fits and any("grid" in metric.needs for metric in asked)):
        return np.arange(dataset.size)
    return np.unique(np.concatenate([part for sample in samples for part in sample[1:]]))


def _announce(
    chosen: Mapping[str, Metric],
    size: tuple[int, int, Sequence[int]],
    *,
    views: int,
    bounding: int,
    seeds: int,
) -> None:
    """Says what will take long, before it does, on a sample of `size`, as `Metric.seconds`."""
    for name, metric in chosen.items():
        if metric.seconds is not None:
            times = views * (1 if metric.costly else seeds) + bounding * metric.calibrated
            seconds = times * metric.seconds(*size)
            print(f"{name} of {times} codes: about {seconds:.0f} CPU seconds", file=sys.stderr)


def _score(
    metric: Metric,
    views: Mapping[tuple[int, str], View],
    bounding: Mapping[str, View],
    samples: Sequence[Sample],
    protocol: str,
    labels: Labels | None,
) -> list[Row]:
    """The rows of one metric: all layers and representations, with their floor and ceiling."""
    exact = protocol == "exact" and metric.exact is not None
    if metric.costly or (exact and metric.exact == "grid"):
        samples = samples[:1]
    places = [p for p in views if p[1] == "mean" or "posterior" not in metric.needs]
    results: dict[tuple[int, str], list[dict[str, Any]]] = {place: [] for place in places}
    notes: dict[tuple[int, str], str] = {}
    for sample in samples:
        for place in places:
            result, note = _run(metric, views[place], sample, exact, labels)
            if result is None:
                notes.setdefault(place, note)
            else:
                results[place].append(result)
    bounds: dict[str, dict[str, Any]] = {}
    for bound, formula in bounding.items():
        if metric.calibrated and len(notes) < len(places):
            bounds[bound] = _run(metric, formula, samples[0], exact, labels)[0] or {}
    rows: list[Row] = []
    for layer, representation in places:
        place, dim = (layer, representation), views[layer, representation].codes.shape[1]
        label = {"layer": layer, "representation": representation, "latent_dim": dim}
        if place in notes:
            definition = "exact" if exact else metric.protocol
            rows += undefined(label, metric, definition, notes[place])
        else:
            rows += make_rows(label, metric, results[place], bounds)
    return rows


def _run(
    metric: Metric, view: View, sample: Sample, exact: bool, labels: Labels | None
) -> tuple[dict[str, Any] | None, str]:
    """A metric's result; None, and why, where it is not defined for this code or data set."""
    try:
        return metric.run(_inputs(metric, view, sample, exact, labels)), ""
    except ValueError as error:
        return None, str(error)


def _inputs(
    metric: Metric, view: View, sample: Sample, exact: bool, labels: Labels | None
) -> Inputs:
    """What `metric` is given; all images under "exact" if it sums over them."""
    train = view.numbers if exact and metric.exact == "grid" else sample.train
    tested = sample.test if metric.tested else sample.test[:0]
    known, test = view.rows(train), view.rows(tested)
    error = view.error
    inputs = Inputs(
        codes=view.codes[known],
        logvar=view.logvar[known],
        factors=None,
        codes_test=view.codes[test],
        factors_test=None,
        represent=view.represent,
        source=view.source,
        seed=sample.seed,
        protocol="exact" if exact else "dlib",
        error=None if error is None else lambda codes: error(codes, train[: len(codes)]),
    )
    if labels is None:
        return inputs
    values, values_test = labels.of(train), labels.of(tested)
    discrete = ~labels.continuous
    if discrete.any():
        inputs = inputs._replace(
            factors=values[:, discrete].astype(np.int64),
            factors_test=values_test[:, discrete].astype(np.int64),
        )
    return inputs._replace(
        values=values, values_test=values_test, continuous=tuple(labels.continuous.tolist())
    )


def _layer_numbers(layers: str | Sequence[int], num_layers: int) -> list[int]:
    if layers == "all":
        return list(range(num_layers))
    if isinstance(layers, str) or not layers or not set(layers) <= set(range(num_layers)):
        raise ValueError(
            f'got layers={layers!r}, expected "all" or numbers from 0 to {num_layers - 1}; '
            "choose some of these"
        )
    return list(layers)


def _bar(names: Iterable[str], progress: bool) -> Iterator[str]:
    from tqdm import tqdm

    hidden = None if progress else True  # None: where nobody watches
    with tqdm(list(names), desc="scoring", unit="metric", disable=hidden) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            yield name
