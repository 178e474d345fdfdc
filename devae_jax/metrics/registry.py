"""Every metric by name: what it takes, which numbers of its result are scores."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from devae_jax.metrics import (
    bottleneck,
    gaps,
    importance,
    independence,
    interventions,
    mixing,
    posteriors,
    predictors,
    trees,
    votes,
)
from devae_jax.names import unknown


class Inputs(NamedTuple):
    """All that a metric may look at: one layer of one representation, one evaluation seed.

    codes, logvar [N, D] and factors [N, F] of the sample, or of the whole grid under "exact";
    codes_test, factors_test: of the test sample
    represent, source: as `factor_vae` takes them
    """

    codes: np.ndarray
    logvar: np.ndarray
    factors: np.ndarray
    codes_test: np.ndarray
    factors_test: np.ndarray
    represent: Any
    source: Any
    seed: int
    protocol: str = "dlib"

    @property
    def split(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.codes, self.factors, self.codes_test, self.factors_test


class Metric(NamedTuple):
    """How `evaluate` calls a metric.

    scores: names of the rows and where each is in the result
    exact: what its "exact" protocol needs, the whole "grid" or a "sample"; None without one
    costly: run on the first evaluation seed alone
    calibrated: has a floor (noise) and a ceiling (perfect code)
    posterior: looks at variances too, so is measured on means only
    lower, facts: scores that are better low, and that are neither good nor bad
    details: further results that belong to one of several scores; the first has the rest
    """

    run: Callable[[Inputs], dict[str, Any]]
    scores: Mapping[str, str]
    exact: str | None = None
    costly: bool = False
    calibrated: bool = True
    posterior: bool = False
    lower: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    details: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _of_codes(function: Callable[..., dict[str, Any]]) -> Callable[[Inputs], dict[str, Any]]:
    return lambda x: function(x.codes, x.factors, protocol=x.protocol)


def _rmig(x: Inputs) -> dict[str, Any]:
    # The cost grows as N^2 D: 2,000 images as published, fewer of more than 64 latents.
    part = slice(0, int(2_000 * min(1.0, (64 / x.codes.shape[1]) ** 0.5)))
    return posteriors.rmig(x.codes[part], x.logvar[part], x.factors[part], x.seed)


def _dci(model: str) -> Metric:
    names = ("disentanglement", "completeness", "informativeness")
    prefix = "dci" if model == "boosted" else f"dci_{model}"
    return Metric(
        lambda x: trees.dci(*x.split, x.seed, model=model),
        {f"{prefix}_{name}": name for name in names},
        costly=model == "boosted",
        details={
            f"{prefix}_completeness": ("per_factor",),
            f"{prefix}_informativeness": ("accuracy", "informativeness_train"),
        },
    )


def _downstream(model: str) -> Metric:
    name = "downstream" if model == "logistic" else f"downstream_{model}"
    return Metric(
        lambda x: predictors.downstream(*x.split, x.seed, model=model),
        {name: "downstream", f"{name}_efficiency": "efficiency"},
        costly=model == "boosted",
        facts=(f"{name}_efficiency",),
    )


UNSUPERVISED = (
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "gaussian_wasserstein_correlation_norm",
    "mutual_info_score",
)

METRICS: dict[str, Metric] = {
    "mig": Metric(_of_codes(gaps.mig), _same("mig"), exact="grid"),
    "factor_vae": Metric(
        lambda x: votes.factor_vae(x.represent, x.source, x.seed), _same("factor_vae")
    ),
    "beta_vae": Metric(lambda x: votes.beta_vae(x.represent, x.source, x.seed), _same("beta_vae")),
    "sap": Metric(lambda x: predictors.sap(*x.split), _same("sap", "sap_continuous")),
    "modularity": Metric(_of_codes(mixing.modularity), _same("modularity"), exact="grid"),
    "explicitness": Metric(
        lambda x: predictors.explicitness(*x.split, protocol=x.protocol),
        _same("explicitness"),
        exact="sample",
    ),
    "irs": Metric(_of_codes(interventions.irs), _same("irs"), exact="grid"),
    "med": Metric(_of_codes(importance.med), _same("med"), exact="grid"),
    "mig_sup": Metric(_of_codes(gaps.mig_sup), _same("mig_sup"), exact="grid"),
    "jemmig": Metric(_of_codes(gaps.jemmig), _same("jemmig"), exact="grid"),
    "rmig": Metric(
        _rmig, {"rmig": "rmig", "jemmig_nats": "jemmig"}, posterior=True, lower=("jemmig_nats",)
    ),
    "infomec": Metric(
        _of_codes(mixing.infomec),
        _same("infom", "infoe", "infoc"),
        exact="sample",
        details={"infoe": ("per_factor",)},
    ),
    "downstream": _downstream("logistic"),
    "dci": _dci("boosted"),
    "diffusion": Metric(
        _of_codes(gaps.diffusion), _same("diffusion"), exact="grid", lower=("diffusion",)
    ),
    "unsupervised": Metric(
        _of_codes(independence.unsupervised), _same(*UNSUPERVISED), exact="grid", lower=UNSUPERVISED
    ),
    "kl": Metric(
        lambda x: bottleneck.kl(x.codes, x.logvar),
        _same("kl"),
        calibrated=False,
        posterior=True,
        facts=("kl",),
    ),
    "active_units": Metric(
        lambda x: bottleneck.active_units(x.codes),
        _same("active_units"),
        calibrated=False,
        posterior=True,
        facts=("active_units",),
    ),
    "dci_hist_boosted": _dci("hist_boosted"),
    "dci_random_forest": _dci("random_forest"),
    "downstream_hist_boosted": _downstream("hist_boosted"),
}

CHEAP = ("mig", "diffusion", "kl", "active_units")
ALL = tuple(name for name in METRICS if "hist" not in name and "forest" not in name)


def resolve(names: str | Sequence[str]) -> list[str]:
    """Metric names from "all", "cheap", one name or several. Raises ValueError if unknown."""
    groups = {"all": ALL, "cheap": CHEAP}
    chosen: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        if name not in groups and name not in METRICS:
            raise unknown("metric", name, [*groups, *METRICS])
        chosen += groups.get(name, (name,))
    return list(dict.fromkeys(chosen))
