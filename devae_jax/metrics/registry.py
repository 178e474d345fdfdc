"""Every metric by name, with all that its users may want to know of it.

Evaluation, tables and figures read these declarations: a new metric is a function in a file of
its name and one entry here.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from devae_jax.metrics.active_units import active_units
from devae_jax.metrics.beta_vae import beta_vae
from devae_jax.metrics.continuous import CONTINUOUS
from devae_jax.metrics.dci import dci, dci_seconds
from devae_jax.metrics.declaration import NEEDS, Inputs, Metric, Score, missing
from devae_jax.metrics.diffusion import diffusion
from devae_jax.metrics.downstream import downstream, downstream_seconds
from devae_jax.metrics.explicitness import explicitness
from devae_jax.metrics.factor_vae import factor_vae
from devae_jax.metrics.infomec import (
    infomec,
    infomec_knn,
    infomec_knn_seconds,
    infomec_scores,
)
from devae_jax.metrics.irs import irs
from devae_jax.metrics.jemmig import jemmig
from devae_jax.metrics.kl import kl
from devae_jax.metrics.med import med
from devae_jax.metrics.mig import mig
from devae_jax.metrics.mig_sup import mig_sup
from devae_jax.metrics.modularity import modularity
from devae_jax.metrics.reconstruction import reconstruction_mean, reconstruction_sampled
from devae_jax.metrics.rmig import rmig
from devae_jax.metrics.sap import sap
from devae_jax.metrics.unsupervised import unsupervised
from devae_jax.names import unknown

Range = tuple[float | None, float | None]
ANY: Range = (None, None)
FACTORS = ("factors",)
GROUPS = {
    "cheap": ("cheap",),
    "continuous": ("continuous",),
    "all": ("cheap", "standard", "continuous"),
}


_unsplit = functools.partial(Metric, tested=False)  # looks at no test sample


def _one(
    name: str, label: str, better: str | None = "higher", ends: Range = (0.0, 1.0), unit: str = ""
) -> tuple[Score]:
    """The score of a metric's own name."""
    return (Score(name, name, label, better, ends, unit),)


def _of_codes(function: Callable[..., dict[str, Any]]) -> Callable[[Inputs], dict[str, Any]]:
    return lambda x: function(x.codes, x.factors, protocol=x.protocol)


def _standard(function: Callable[..., dict[str, Any]], label: str, protocol: str) -> Metric:
    """A function of codes and factors with a single score and sums over the grid."""
    scores = _one(function.__name__, label)
    return _unsplit(_of_codes(function), scores, "standard", FACTORS, protocol, "grid")


def _of_posterior(
    run: Callable[[Inputs], dict[str, Any]],
    scores: tuple[Score, ...],
    needs: tuple[str, ...] = ("posterior",),
    protocol: str = "formula",
) -> Metric:
    """Of what the encoder says itself: neither a noise code nor a perfect one has that."""
    return _unsplit(run, scores, "cheap", needs, protocol, calibrated=False)


def _votes(function: Callable[..., dict[str, Any]], label: str) -> Metric:
    def run(x: Inputs) -> dict[str, Any]:
        return function(x.represent, x.source, x.seed)

    return _unsplit(run, _one(function.__name__, label), "standard", ("grid",), "dlib")


def _rmig(x: Inputs) -> dict[str, Any]:
    # The cost grows as N^2 D: 2,000 images, fewer of more than 64 latents.
    part = slice(0, int(2_000 * min(1.0, (64 / x.codes.shape[1]) ** 0.5)))
    factors = None if x.factors is None else x.factors[part]
    return rmig(x.codes[part], x.logvar[part], factors, x.seed)


def _dci(name: str, label: str, model: str, group: str) -> Metric:
    published = model == "boosted"
    return Metric(
        lambda x: dci(*x.split, x.seed, model=model),
        (
            Score(f"{name}_disentanglement", "disentanglement", f"{label} disentanglement"),
            Score(
                f"{name}_completeness",
                "completeness",
                f"{label} completeness",
                details=("per_factor",),
            ),
            Score(
                f"{name}_informativeness",
                "informativeness",
                f"{label} informativeness",
                details=("accuracy", "informativeness_train"),
            ),
        ),
        group,
        FACTORS,
        "dlib" if published else model,
        costly=published,
        seconds=(lambda n, dim, sizes: dci_seconds(n, dim, sizes, jobs=1)) if published else None,
    )


def _downstream(name: str, label: str, model: str, group: str) -> Metric:
    published = model in ("logistic_cv", "boosted")
    return Metric(
        lambda x: downstream(*x.split, x.seed, model=model),
        (
            Score(name, "downstream", label),
            Score(
                f"{name}_efficiency",
                "efficiency",
                f"{label}, 100 labels to most",
                better=None,
                range=(0.0, None),
            ),
        ),
        group,
        FACTORS,
        "dlib" if published else model,
        costly=published,
        seconds=(lambda n, dim, sizes: downstream_seconds(model, n, dim, sizes))
        if published
        else None,
    )


METRICS: dict[str, Metric] = {
    "mig": _unsplit(_of_codes(mig), _one("mig", "MIG"), "cheap", FACTORS, "dlib", "grid"),
    "diffusion": _unsplit(
        _of_codes(diffusion),
        _one("diffusion", "Information diffusion", "lower"),
        "cheap",
        FACTORS,
        "binned",
        "grid",
    ),
    "kl": _of_posterior(
        lambda x: kl(x.codes, x.logvar), _one("kl", "KL", None, (0.0, None), "nats")
    ),
    "reconstruction_sampled": _of_posterior(
        lambda x: reconstruction_sampled(x.codes, x.logvar, x.errors, x.seed),
        _one("reconstruction_sampled", "Reconstruction error", "lower", ANY, "nats"),
        needs=("posterior", "decode"),
    ),
    "reconstruction_mean": _of_posterior(
        lambda x: reconstruction_mean(x.codes, x.errors),
        _one("reconstruction_mean", "Reconstruction error of means", "lower", ANY, "nats"),
        needs=("posterior", "decode"),
    ),
    "active_units": _of_posterior(
        lambda x: active_units(x.codes),
        _one("active_units", "Active units", None, (0.0, None), "latents"),
        protocol="paper",
    ),
    "factor_vae": _votes(factor_vae, "FactorVAE score"),
    "beta_vae": _votes(beta_vae, "β-VAE score"),
    "sap": Metric(
        lambda x: sap(*x.split),
        (
            Score("sap", "sap", "SAP"),
            Score(
                "sap_continuous",
                "sap_continuous",
                "SAP, continuous",
                details=("per_factor_continuous", "score_matrix_continuous"),
            ),
        ),
        "standard",
        FACTORS,
        "dlib",
    ),
    "modularity": _standard(modularity, "Modularity", "dlib"),
    "explicitness": Metric(
        lambda x: explicitness(*x.split, protocol=x.protocol),
        _one("explicitness", "Explicitness"),
        "standard",
        FACTORS,
        "dlib",
        "sample",
    ),
    "irs": _standard(irs, "IRS", "dlib"),
    "med": _standard(med, "MED", "paper"),
    "mig_sup": _standard(mig_sup, "MIG-sup", "binned"),
    "jemmig": _standard(jemmig, "JEMMIG", "binned"),
    "rmig": _unsplit(
        _rmig,
        (
            Score("rmig", "rmig", "RMIG"),
            Score(
                "jemmig_nats",
                "jemmig",
                "JEMMIG of posteriors",
                "lower",
                ANY,
                "nats",
                ("jemmig_per_factor",),
            ),
        ),
        "standard",
        ("factors", "posterior"),
        "paper",
    ),
    "infomec": _unsplit(
        _of_codes(infomec),
        infomec_scores("", ""),
        "standard",
        FACTORS,
        "binned",
        "sample",
    ),
    "infomec_knn": _unsplit(
        lambda x: infomec_knn(x.codes, x.factors, x.seed),
        infomec_scores("_knn", ", nearest neighbours"),
        "standard",
        FACTORS,
        "paper",
        seconds=infomec_knn_seconds,
    ),
    "dci": _dci("dci", "DCI", "boosted", "standard"),
    "dci_hist_boosted": _dci("dci_hist_boosted", "DCI (binned trees)", "hist_boosted", "extra"),
    "dci_random_forest": _dci("dci_random_forest", "DCI (forest)", "random_forest", "extra"),
    "downstream": _downstream("downstream", "Downstream accuracy", "logistic", "standard"),
    "downstream_cv": _downstream(
        "downstream_cv", "Downstream accuracy (cross-validated)", "logistic_cv", "extra"
    ),
    "downstream_boosted": _downstream(
        "downstream_boosted", "Downstream accuracy (boosted trees)", "boosted", "extra"
    ),
    "downstream_hist_boosted": _downstream(
        "downstream_hist_boosted", "Downstream accuracy (binned trees)", "hist_boosted", "extra"
    ),
    "unsupervised": _unsplit(
        _of_codes(unsupervised),
        (
            # Less its bias, under "exact", total correlation may fall below 0.
            *_one("gaussian_total_correlation", "Gaussian total correlation", "lower", ANY, "nats"),
            *_one(
                "gaussian_wasserstein_correlation",
                "Gaussian Wasserstein correlation",
                "lower",
                (0.0, None),
            ),
            *_one(
                "gaussian_wasserstein_correlation_norm",
                "Gaussian Wasserstein correlation to variance",
                "lower",
                (0.0, 2.0),
            ),
            Score(
                "mutual_info_score",
                "mutual_info_score",
                "Mutual information of latents",
                "lower",
                (0.0, None),
                "nats",
                ("pairwise_mi",),
            ),
        ),
        "standard",
        (),
        "dlib",
        "grid",
    ),
    **CONTINUOUS,
}

SCORES: dict[str, Score] = {
    score.name: score for metric in METRICS.values() for score in metric.scores
}


def resolve(names: str | Sequence[str], available: Collection[str] = tuple(NEEDS)) -> list[str]:
    """Metric names from "all", "cheap", one name or several, each once.

    Args:
      available: what the data and the model have, of `NEEDS`. Groups leave out what needs more,
        and metrics of continuous factors where there are none.

    Raises:
      ValueError: for an unknown name, and for one that needs what is not available.
    """
    for need in available:
        if need not in NEEDS:
            raise unknown("need", need, NEEDS)
    possible = [name for name, metric in METRICS.items() if set(metric.needs) <= set(available)]
    chosen: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        if name in GROUPS:
            groups = set(GROUPS[name]) - (
                {"continuous"} if "continuous" not in available else set()
            )
            chosen += [each for each in possible if METRICS[each].group in groups]
        elif name not in METRICS:
            raise unknown("metric", name, [*GROUPS, *METRICS])
        elif name not in possible:
            raise ValueError(
                f"got metric {name!r} for {missing(METRICS[name], available)}, expected one that "
                f"needs less; choose one of {', '.join(possible)}"
            )
        else:
            chosen.append(name)
    return list(dict.fromkeys(chosen))
