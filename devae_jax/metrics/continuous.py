"""Scores of continuous factors: what the registry says of them, and two that are adapted."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.binning import BINS, bin_factors
from devae_jax.metrics.declaration import Inputs, Metric, Score
from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.infomec import above_chance, active_latents, infomec_scores, share
from devae_jax.metrics.information import entropy
from devae_jax.metrics.inputs import check_codes, spread
from devae_jax.metrics.mcc import mcc
from devae_jax.metrics.mig import mig
from devae_jax.metrics.numeric import check_numeric
from devae_jax.metrics.regression import dci_regression, r2

FACTOR_BINS = 10


def mig_binned(
    codes: Any, values: Any, continuous: Sequence[bool] = (), *, factor_bins: int = FACTOR_BINS
) -> dict[str, Any]:
    """`mig` with continuous factors sorted into equal-width bins; discrete ones as they are.

    continuous: for each factor; empty: all are
    Returns what `mig` does, as mig_binned, with `bins` of the codes and `factor_bins`.
    """
    values = np.asarray(values)
    measured = np.array(continuous or (True,) * values.shape[1], bool)
    binned = np.empty(values.shape, np.int64)
    if measured.any():
        binned[:, measured] = bin_factors(values[:, measured], factor_bins)
    for k in np.flatnonzero(~measured):
        binned[:, k] = np.unique(values[:, k], return_inverse=True)[1]
    result = mig(codes, binned, bins=BINS)
    score = result.pop("mig")
    return {"mig_binned": score, **result, "factor_bins": factor_bins, "protocol": "binned"}


def infomec_continuous(
    codes: Any,
    values: Any,
    continuous: Sequence[bool] = (),
    key: int | jax.Array = 0,
    *,
    neighbours: int = 10,
) -> dict[str, Any]:
    """InfoMEC of continuous factors, or of both kinds: information from nearest neighbours.

    As `infomec_knn`, but for a continuous factor, which has no entropy to divide by, R is the
    square of Linfoot's coefficient, 1 - exp(-2 I): of Gaussians, the squared correlation.
    Explicitness is, for factors of both kinds, the R² of a linear regression on the same codes,
    which the released code of Hsu et al. (kylehkhsu/latent_quantization) has for continuous ones.

    Returns:
      infom, infoe, infoc, per_latent [D], per_factor (infoe) [F], nmi (R) [D, F], active [D].

    Source: Hsu et al. 2023, "Disentanglement via latent quantization"; Kraskov et al. 2004,
    "Estimating mutual information", Phys. Rev. E 69, 066138, and for discrete factors Ross 2014,
    "Mutual information between discrete and continuous data sets"; Linfoot 1957, "An
    informational measure of correlation", Information and Control 1, 85-89.
    """
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
    from sklearn.linear_model import LinearRegression

    split = check_numeric(codes, values, codes, values)
    measured = np.array(continuous or (True,) * split.values.shape[1], bool)
    active, rng = active_latents(check_codes(codes)), numpy_rng(key)
    related = np.zeros((split.codes.shape[1], split.values.shape[1]))
    explicit = []
    with small_fits():
        for k in split.varying:
            target = split.values[:, k]
            options = {"discrete_features": False, "n_neighbors": neighbours, "random_state": rng}
            estimate = mutual_info_regression if measured[k] else mutual_info_classif
            if not measured[k]:
                target = np.unique(target, return_inverse=True)[1]
            found = estimate(split.codes[:, active], target, **options) if active.any() else 0.0
            known = 1 - np.exp(-2 * np.asarray(found))
            if not measured[k]:
                known = np.asarray(found) / entropy(np.bincount(target))
            related[active, k] = known
            line = LinearRegression().fit(split.codes, split.values[:, k])
            explicit.append(max(line.score(split.codes, split.values[:, k]), 0.0))
    pruned = related[np.ix_(active, split.varying)]
    per_latent = np.full(len(active), np.nan)
    per_latent[active] = share(pruned)
    return {
        "infom": above_chance(share(pruned), len(split.varying)),
        "infoe": float(np.mean(explicit)),
        "infoc": above_chance(share(pruned.T), int(active.sum())),
        "per_latent": per_latent,
        "per_factor": spread(explicit, split.varying, len(measured)),
        "nmi": related,
        "active": active,
        "protocol": "neighbours",
        "num_samples": len(split.codes),
    }


def _r2(name: str, label: str, model: str) -> Metric:
    def run(x: Inputs) -> dict[str, Any]:
        return r2(*x.numeric, x.seed, model=model)

    score = Score(name, "r2", label, "higher", (None, 1.0))
    return Metric(run, (score,), "continuous", ("values",), model)


CONTINUOUS: dict[str, Metric] = {
    "mcc": Metric(
        lambda x: mcc(x.codes, x.values),
        (Score("mcc", "mcc", "MCC"), Score("mcc_spearman", "mcc_spearman", "MCC of ranks")),
        "continuous",
        ("values",),
        "paper",
        tested=False,
    ),
    "r2": _r2("r2", "R², linear", "linear"),
    "r2_boosted": _r2("r2_boosted", "R², boosted trees", "hist_boosted"),
    "dci_regression": Metric(
        lambda x: dci_regression(*x.numeric, x.seed),
        tuple(
            Score(
                f"dci_regression_{part}",
                part,
                f"DCI (regression) {part}",
                details=("per_factor",) if part == "completeness" else (),
            )
            for part in ("disentanglement", "completeness", "informativeness")
        ),
        "continuous",
        ("values",),
        "random_forest",
        costly=True,
    ),
    "infomec_continuous": Metric(
        lambda x: infomec_continuous(x.codes, x.values, x.continuous, x.seed),
        infomec_scores("_continuous", ", continuous"),
        "continuous",
        ("values",),
        "neighbours",
        tested=False,
    ),
    "mig_binned": Metric(
        lambda x: mig_binned(x.codes, x.values, x.continuous),
        (Score("mig_binned", "mig_binned", "MIG, binned factors"),),
        "continuous",
        ("values",),
        "binned",
        tested=False,
    ),
}
