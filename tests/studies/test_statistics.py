"""Statistics over runs against scipy and values by hand; selection; axes."""

import types

import numpy as np
import pytest
from scipy import stats

from devae_jax.program import axes
from devae_jax.studies import selection
from devae_jax.studies.statistics import (
    gain_at,
    holm,
    paired,
    pareto,
    rank_correlation,
    sensitivity,
    summary,
)
from devae_jax.types import Posterior

NAN = float("nan")
PAIRS = {"a": (1.0, 2.0, 4.0), "b": (1.5, 2.0, 3.0), "c": (0.0, 0.5, 3.5)}


def test_summary_by_hand():
    found = summary([1.0, 2.0, 3.0, NAN])
    assert (found.runs, found.mean, found.std, found.median) == (3, 2.0, 1.0, 2.0)
    low, high = stats.t.interval(0.95, 2, 2.0, 1 / np.sqrt(3))
    np.testing.assert_allclose((found.low, found.high, *found.quartiles), (low, high, 1.5, 2.5))
    assert summary([4.0])[:5] == (1, 4.0, None, None, None)
    with pytest.raises(ValueError, match="no scores"):
        summary([NAN])


def test_rank_correlation_is_scipys_with_ties_and_gaps():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 20).astype(float), rng.normal(size=20)
    b[3] = NAN
    names, matrix = rank_correlation({"a": a, "b": b, "same": np.ones(20)})
    known = np.isfinite(b)
    wanted = stats.spearmanr(a[known], b[known]).statistic
    assert names == ["a", "b", "same"] and matrix[0, 1] == matrix[1, 0]
    np.testing.assert_allclose(matrix[:2, :2], [[1, wanted], [wanted, 1]])
    assert np.isnan(matrix[2]).all()
    with pytest.raises(ValueError, match="same runs"):
        rank_correlation({"a": a, "b": b[:3]})


def test_holm_by_hand():
    """Sorted .01 .02 .03 .5 times 4 3 2 1, never falling."""
    np.testing.assert_allclose(holm([0.03, 0.01, 0.5, 0.02]), [0.06, 0.04, 0.5, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
    with pytest.raises(ValueError, match="p-values"):
        holm([1.5])


def test_paired_tests_are_scipys_over_shared_seeds():
    rng = np.random.default_rng(1)
    base = rng.normal(size=8)
    scores = {
        "a": dict(enumerate(base + rng.normal(1, 0.5, 8))),
        "b": dict(enumerate(base + rng.normal(0, 0.5, 8))),
        "c": dict(enumerate(base[:6])) | {99: 0.0},
    }
    for test, wanted in (("t", stats.ttest_rel), ("wilcoxon", stats.wilcoxon)):
        found = paired(scores, test=test)
        assert [(x.first, x.second, x.seeds) for x in found] == [
            ("a", "b", 8),
            ("a", "c", 6),
            ("b", "c", 6),
        ]
        first, second = (list(scores[name].values()) for name in "ab")
        np.testing.assert_allclose(found[0].p, wanted(first, second).pvalue)
        np.testing.assert_allclose(found[0].difference, np.mean(first) - np.mean(second))
        np.testing.assert_allclose([x.holm for x in found], holm([x.p for x in found]))
    with pytest.raises(ValueError, match="share"):
        paired({"a": {0: 1.0}, "b": {1: 1.0}})
    with pytest.raises(ValueError, match="did you mean 'wilcoxon'"):
        paired(scores, test="wilcox")


def test_equal_gaps_are_tested_by_their_signs():
    same = {"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {0: 1.0, 1: 2.0, 2: 3.0}}
    assert paired(same)[0].p == 1.0
    same["b"] = {seed: value - 1 for seed, value in same["a"].items()}
    assert paired(same)[0].p == stats.wilcoxon([1.0, 1.0, 1.0]).pvalue == 0.25
    same["b"] = {0: 0.9, 1: 1.9, 2: 2.9}  # equal but for rounding, no evidence of 1e-30
    assert paired(same, test="t")[0].p == 0.25


def test_only_the_pairs_that_are_asked_for_are_corrected_for():
    scores = {name: dict(enumerate(values)) for name, values in PAIRS.items()}
    (found,) = paired(scores, test="t", pairs=[("a", "c")])
    assert (found.first, found.second) == ("a", "c") and found.holm == found.p
    assert paired(scores, test="t")[1].holm > found.p == paired(scores, test="t")[1].p


def test_pareto_front_by_hand():
    mig, error = [0.1, 0.3, 0.3, 0.2, 0.5, NAN], [10.0, 20.0, 25.0, 30.0, 40.0, 1.0]
    assert pareto(mig, error).tolist() == [0, 1, 4]
    assert pareto([1.0, 1.0], [2.0, 2.0]).tolist() == [0, 1]  # equal runs beat none
    with pytest.raises(ValueError, match="align"):
        pareto([1.0], [1.0, 2.0])


def test_gain_at_a_cost_by_hand():
    """Means (cost, gain) of (10, .1), (20, .5), (40, .2), given in another order."""
    gain, cost = [[0.5], [0.0, 0.2], [0.2, NAN]], [[20.0], [9.0, 11.0], [40.0]]
    assert gain_at(gain, cost, 15.0) == pytest.approx(0.3)
    assert gain_at(gain, cost, 30.0) == pytest.approx(0.35)
    assert gain_at(gain, cost, 40.0) == pytest.approx(0.2)
    assert gain_at(gain, cost, 41.0) is None and gain_at([], [], 1.0) is None
    with pytest.raises(ValueError, match="align"):
        gain_at(gain, cost[:2], 15.0)


def test_sensitivity_by_hand():
    """Means 1 and 3 of two runs each, 1 around: between 4, within 4."""
    found, share = sensitivity(["low", "low", "high", "high", "high"], [0.0, 2.0, 2.0, 4.0, NAN])
    assert [(value, each.mean, each.runs) for value, each in found] == [
        ("low", 1.0, 2),
        ("high", 3.0, 2),
    ]
    assert share == 0.5
    assert sensitivity([1, 2], [1.0, 3.0])[1] == 1.0
    assert np.isnan(sensitivity([1, 2], [1.0, 1.0])[1])


def test_best_by_a_rule():
    scores = {"mig": [0.5, 0.5, 0.9, NAN], "error": [30.0, 20.0, 99.0, 1.0]}
    assert selection.best(scores, [("mig", "highest")]) == 2
    assert selection.best(scores, [("mig", "highest")], {"error": (None, 50.0)}) == 0
    rule = [("mig", "highest"), ("error", "lowest")]
    assert selection.best(scores, rule, {"error": (None, 50.0)}) == 1
    with pytest.raises(ValueError, match="widen"):
        selection.best(scores, rule, {"error": (None, 0.5)})
    with pytest.raises(ValueError, match="did you mean 'mig'"):
        selection.best(scores, [("mgi", "highest")])


def test_agreement_finds_the_entangled_run():
    """Three runs hold the factors up to order and sign, one a rotation of them."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2)).astype(np.float32) * [1.0, 1.2]
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)

    def run(mean):
        stacked = np.stack([mean, 0 * mean])
        return types.SimpleNamespace(
            encode=lambda images: Posterior(mean=stacked, logvar=np.full_like(stacked, -4.0))
        )

    runs = [run(z), run(z[:, ::-1]), run(-z), run(z @ turn)]
    scores = selection.by_agreement(runs, None)
    assert scores.argmin() == 3 and scores[:3].min() > scores[3] + 0.1
    with pytest.raises(ValueError, match="layer=2"):
        selection.by_agreement(runs, None, layer=2)


def test_axes_by_hand():
    two = [("a", (1, 2)), ("b", ("x", "y"))]
    assert axes.grid(two) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert axes.zipped(two) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    seeds = axes.grid([("seed", (0, 1))])
    assert axes.product(axes.listed([{"a": 3}]), seeds) == [
        {"a": 3, "seed": 0},
        {"a": 3, "seed": 1},
    ]
    for wrong, told in (
        (lambda: axes.zipped([("a", (1,)), ("b", (1, 2))]), "as many"),
        (lambda: axes.product(seeds, seeds), "'seed' twice"),
        (lambda: axes.random({"a": ()}, 3), "empty: a"),
        (lambda: axes.log_uniform(0, 1), "0 < low"),
        (lambda: axes.listed([]), "no settings"),
        (lambda: axes.listed([{1: 2}]), "config path"),
    ):
        with pytest.raises(ValueError, match=told):
            wrong()


def test_random_axes_repeat_and_stay_within_bounds():
    draws = {"rate": axes.log_uniform(1e-4, 1e-1), "s": axes.uniform(2, 3), "k": (4, 5)}
    found = axes.random(draws, 300, seed=1)
    assert found == axes.random(draws, 300, seed=1) != axes.random(draws, 300, seed=2)
    rates = np.array([setting["rate"] for setting in found])
    assert rates.min() >= 1e-4 and rates.max() <= 1e-1
    assert abs(np.log10(rates).mean() + 2.5) < 0.15  # uniform in the logarithm
    assert all(2 <= setting["s"] <= 3 for setting in found)
    assert {setting["k"] for setting in found} == {4, 5}
