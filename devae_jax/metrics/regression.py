"""Factors as numbers, predicted from the whole code: R² and DCI of regressions."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.inputs import spread
from devae_jax.metrics.matrices import completeness, disentanglement
from devae_jax.metrics.numeric import Numeric, check_numeric
from devae_jax.names import lookup

_TREES = 10  # of the forest whose importances DCI reads


def _linear(seed: int) -> Any:
    from sklearn.linear_model import LinearRegression

    del seed
    return LinearRegression()


def _hist_boosted(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(early_stopping=False, random_state=seed)


def _random_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=_TREES, random_state=seed)


MODELS: dict[str, Callable[[int], Any]] = {"linear": _linear, "hist_boosted": _hist_boosted}


def r2(
    codes: Any,
    values: Any,
    codes_test: Any,
    values_test: Any,
    key: int | jax.Array = 0,
    *,
    model: str = "linear",
) -> dict[str, Any]:
    """R² = 1 - squared error / variance of each factor in the test sample, their mean.

    A regression of the whole code predicts a factor, taken as a number; 0 is to guess the mean,
    and less is possible.

    Args:
      model: "linear", or "hist_boosted" trees (100 rounds).

    Returns:
      r2, r2_train, per_factor [F] (NaN for a one-valued factor).
    """
    lookup(MODELS, model, "model")
    split = check_numeric(codes, values, codes_test, values_test)
    seed = int(numpy_rng(key).randint(2**31))
    fitted = [_fit(MODELS[model](seed), split, k) for k in split.varying]
    test = [found for _, _, found in fitted]
    return {
        "r2": float(np.mean(test)),
        "r2_train": float(np.mean([found for _, found, _ in fitted])),
        "per_factor": spread(test, split.varying, split.values.shape[1]),
        "model": model,
        "protocol": model,
        "num_samples": len(split.codes),
    }


def dci_regression(
    codes: Any, values: Any, codes_test: Any, values_test: Any, key: int | jax.Array = 0
) -> dict[str, Any]:
    """DCI of factors as numbers: a random forest (10 trees) regresses each on the whole code.

    Returns:
      disentanglement and completeness of its importances, as `dci`; informativeness, R² of the
      test sample (of the paper's error e, relative to the mean guess, 1 - e²), never below 0;
      per_latent [D], per_factor (completeness) [F], r2 [F], importance [D, F]; NaN for a
      one-valued factor.

    Source: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations". Its released code (cianeastwood/qedr) has 10 trees too, of a
    depth chosen for each factor; these grow to the end.
    """
    split = check_numeric(codes, values, codes_test, values_test)
    varying, num_factors = split.varying, split.values.shape[1]
    seeds = numpy_rng(key).randint(2**31, size=len(varying))
    fitted = [_fit(_random_forest(int(s)), split, k) for s, k in zip(seeds, varying, strict=True)]
    used = np.stack([model.feature_importances_ for model, _, _ in fitted], axis=1)
    score, per_latent = disentanglement(used)
    complete, per_factor = completeness(used)
    importance = np.zeros((len(used), num_factors))
    importance[:, varying] = used
    found = np.maximum([test for _, _, test in fitted], 0.0)
    return {
        "disentanglement": score,
        "completeness": complete,
        "informativeness": float(found.mean()),
        "per_latent": per_latent,
        "per_factor": spread(per_factor, varying, num_factors),
        "r2": spread(found, varying, num_factors),
        "importance": importance,
        "model": "random_forest",
        "protocol": "random_forest",
        "num_samples": len(split.codes),
    }


def _fit(model: Any, split: Numeric, factor: int) -> tuple[Any, float, float]:
    """The fitted model, and R² of training and of the test sample."""
    target, target_test = split.values[:, factor], split.values_test[:, factor]
    with small_fits():
        model.fit(split.codes, target)
        return model, model.score(split.codes, target), model.score(split.codes_test, target_test)
