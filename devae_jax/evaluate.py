"""From an encoder to scores: images are encoded once and every metric shares the codes.

rows = evaluate(encode, dataset, decode=decode, metrics="all")
print(table(rows))
write_scores("scores.json", rows)
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from devae_jax import metrics as m
from devae_jax.data import factors as fg
from devae_jax.encoding import Decode, Encode, Likelihood, reconstruction, represent, sampled
from devae_jax.metrics.inputs import check_protocol
from devae_jax.metrics.registry import METRICS, resolve
from devae_jax.names import unknown
from devae_jax.scores import Row, make_rows, table, write_scores
from devae_jax.types import Array, Dataset, Posterior
from devae_jax.views import (
    REPRESENTATIONS,
    Sample,
    View,
    bounding_views,
    code_shape,
    draw_sample,
    encoded_views,
    fits,
    inputs,
)

__all__ = ["cheap", "evaluate", "reconstruction", "represent", "table", "write_scores"]


def cheap(
    encode: Encode,
    decode: Decode,
    dataset: Dataset,
    key: int | Array,
    *,
    n: int = 10_000,
    num_decoded: int = 1_000,
    likelihood: Likelihood = "bernoulli",
    batch_size: int = 1024,
) -> dict[str, np.ndarray]:
    """What is worth knowing during training, about a second beyond encoding `n` images.

    Returns arrays with one entry a layer: mig, diffusion, kl, active_units and
    reconstruction [K] (of `num_decoded` images from sampled codes), kl_per_latent [K, D],
    mi [K, D, F]; information in nats.
    """
    rng = m.numpy_rng(key)
    factors = m.sample_factors(rng, dataset.grid.sizes, n)
    index = np.ravel_multi_index(tuple(factors.T), dataset.grid.sizes)
    points, place = np.unique(index, return_inverse=True)
    known = represent(encode, dataset, points, batch_size=batch_size)
    mean, logvar = known.mean[:, place], known.logvar[:, place]
    z = sampled(Posterior(mean=mean, logvar=logvar), rng)[:, :num_decoded]
    gaps = [m.mig(layer, factors) for layer in mean]
    costs = [m.kl(*layer) for layer in zip(mean, logvar, strict=True)]
    errors = reconstruction(
        decode, dataset, index[:num_decoded], z, likelihood=likelihood, batch_size=batch_size
    )
    return {
        "mig": np.array([gap["mig"] for gap in gaps]),
        "mi": np.stack([gap["mi"] for gap in gaps]),
        "diffusion": np.array([m.diffusion(layer, factors)["diffusion"] for layer in mean]),
        "kl": np.array([cost["kl"] for cost in costs]),
        "kl_per_latent": np.stack([cost["per_latent"] for cost in costs]),
        "active_units": np.array([m.active_units(layer)["active_units"] for layer in mean]),
        "reconstruction": errors.mean(1),
    }


def further(
    encode: Encode, dataset: Dataset, seed: int, *, names: Sequence[str], n: int = 10_000
) -> dict[str, np.ndarray]:
    """More scores during training: {score: [K]} of the metrics `names`, NaN where undefined.

    `n` images of a fresh sample, half as many to test predictors on.
    """
    if not names:
        return {}  # nothing to encode for
    rows = evaluate(
        encode,
        dataset,
        metrics=names,
        layers="all",
        seeds=(seed,),
        calibrate=False,
        num_train=n,
        num_test=n // 2,
        progress=False,
    )
    layers: dict[str, list[float]] = {}
    for row in rows:
        value = row["value"]
        layers.setdefault(row["metric"], []).append(np.nan if value is None else value)
    return {name: np.array(values) for name, values in layers.items()}


def evaluate(
    encode: Encode,
    dataset: Dataset,
    *,
    decode: Decode | None = None,
    likelihood: Likelihood = "bernoulli",
    metrics: str | Sequence[str] = "cheap",
    protocol: str = "dlib",
    layers: str | Sequence[int] = (0,),
    representations: Sequence[str] = ("mean",),
    seeds: Sequence[int] = (0, 1, 2),
    calibrate: bool = True,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_decoded: int = 2_000,
    batch_size: int = 1024,
    progress: bool = True,
) -> list[Row]:
    """Scores of an encoder: one row a layer, representation and score.

    Images are encoded once: those of the samples, or the whole grid where FactorVAE and
    beta-VAE votes or "exact" sums want it and its codes take less than 2 GB. On a larger one
    those two encode the points that they draw.

    Args:
      encode: images [B, H, W, C] -> `Posterior` [K, B, D], jitted by the caller.
      decode: (z [N, D], layer [N]) -> logits; with it reconstruction errors are rows too.
      metrics: names in `metrics.registry`, "cheap" or "all".
      protocol: "dlib" has the sample sizes and definitions of published numbers; "exact" sums
        over the whole factor grid where it can and corrects known faults. A row says which
        one it holds: sampling metrics have only the former.
      layers: "all" or layer numbers.
      representations: of "mean" and "sampled" (one sample z of each posterior).
      seeds: evaluation seeds; each draws its own sample and votes. Costly metrics (DCI,
        downstream) run on the first.
      calibrate: also score a noise code (floor) and a perfect code (ceiling) of the same D on
        the same sample, on the first seed.
      num_train, num_test: images of a sample.
      num_decoded: images whose reconstruction is measured.

    Returns:
      Rows {layer, representation, protocol, metric, value, low, high (95 % interval of the
      mean over seeds, None for one seed), values, floor, ceiling, better, num_samples,
      latent_dim}, and the first seed's per_factor, per_latent and matrices.

    Raises:
      ValueError: for unknown names, layers or protocols, NaN codes, and for "exact" on a grid
        that is too large to encode whole.
    """
    chosen = resolve(metrics)
    check_protocol(protocol)
    for name in representations:
        if name not in REPRESENTATIONS:
            raise unknown("representation", name, REPRESENTATIONS)
    if not seeds:
        raise ValueError("got no evaluation seeds, expected one or more; pass seeds=(0, 1, 2)")
    num_layers, dim = code_shape(encode, dataset)
    numbers = _layer_numbers(layers, num_layers)
    small = fits(dataset.grid, num_layers, dim)
    if protocol == "exact" and not small:
        raise ValueError(
            f"got {num_layers} x {dim} latents of {fg.num_images(dataset.grid):,} images, expected "
            'less than 2 GB for protocol="exact"; use protocol="dlib"'
        )
    samples = [draw_sample(dataset.grid, seed, num_train, num_test) for seed in seeds]
    points = np.unique(np.concatenate([part for sample in samples for part in sample[1:]]))
    if small and (protocol == "exact" or {"factor_vae", "beta_vae"} & set(chosen)):
        points = np.arange(fg.num_images(dataset.grid))
    views = encoded_views(
        encode,
        dataset,
        points,
        numbers,
        representations,
        seed=seeds[0],
        batch_size=batch_size,
        progress=progress,
    )
    bounding = bounding_views(dataset.grid, dim, points) if calibrate else {}
    if progress and "dci" in chosen:
        codes = len(views) + len(bounding)
        seconds = codes * m.dci_seconds(num_train, dim, dataset.grid.sizes)
        print(f"DCI of {codes} codes: about {seconds:.0f} s of boosted trees", file=sys.stderr)

    rows: list[Row] = []
    for name in _bar(chosen, progress):
        rows += _score(name, views, bounding, samples, protocol)
    if decode is not None:
        index = samples[0].train[:num_decoded]
        for representation in representations:
            z = np.stack([views[layer, representation].table.lookup(index) for layer in numbers])
            errors = reconstruction(
                decode,
                dataset,
                index,
                z,
                layers=numbers,
                likelihood=likelihood,
                batch_size=batch_size,
                progress=progress,
            )
            for layer, error in zip(numbers, errors.mean(1), strict=True):
                label = {"layer": layer, "representation": representation, "latent_dim": dim}
                result = {"reconstruction": error, "protocol": "dlib", "num_samples": len(index)}
                names = {"reconstruction": "reconstruction"}
                rows += make_rows(label, names, [result], lower=names)
    return rows


def _score(
    name: str,
    views: Mapping[tuple[int, str], View],
    bounding: Mapping[str, View],
    samples: Sequence[Sample],
    protocol: str,
) -> list[Row]:
    """The rows of one metric: all layers and representations, with their floor and ceiling."""
    metric = METRICS[name]
    if metric.costly or (protocol == "exact" and metric.exact == "grid"):
        samples = samples[:1]
    rows: list[Row] = []
    bounds = None
    for (layer, representation), view in views.items():
        if metric.posterior and representation != "mean":
            continue
        label = {"layer": layer, "representation": representation}
        label["latent_dim"] = view.table.codes.shape[1]
        try:
            if bounds is None:
                bounds = {
                    bound: metric.run(inputs(metric, formula, samples[0], protocol))
                    for bound, formula in bounding.items()
                    if metric.calibrated
                }
            results = [metric.run(inputs(metric, view, s, protocol)) for s in samples]
        except ValueError as error:  # these scores are not defined for this data set
            undefined = dict.fromkeys(metric.scores.values())
            told = {"protocol": protocol if metric.exact else "dlib"}
            rows += make_rows(label | {"note": str(error)}, metric.scores, [undefined | told])
        else:
            rows += make_rows(
                label,
                metric.scores,
                results,
                bounds=bounds,
                lower=metric.lower,
                facts=metric.facts,
                details=metric.details,
            )
    return rows


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

    with tqdm(
        list(names), desc="scoring", unit="metric", disable=None if progress else True
    ) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            yield name
