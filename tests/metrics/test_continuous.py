"""Continuous factors: planted codes, against closed forms and plain statements."""

import itertools

import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.metrics.numeric import check_numeric

RNG = np.random.RandomState(0)
VALUES, VALUES_TEST = RNG.uniform(-1, 1, (600, 3)), RNG.uniform(-1, 1, (300, 3))


def planted(values):
    """Factors in another order, sign, scale and place, and a dead latent."""
    return np.insert((values * [2.0, -0.5, 3.0] + 1.0)[:, [2, 0, 1]], 1, 7.0, axis=1)


def mixed(values):
    return values @ np.array([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0], [2.0, 0.0, 1.0]])


def test_a_code_of_the_factors_is_perfect():
    codes, test = planted(VALUES), planted(VALUES_TEST)
    found = metrics.mcc(codes, VALUES)
    assert found["mcc"] == pytest.approx(1) and found["mcc_spearman"] == pytest.approx(1)
    np.testing.assert_array_equal(found["main_latent"], [2, 3, 0])
    assert metrics.r2(codes, VALUES, test, VALUES_TEST)["r2"] == pytest.approx(1)
    assert metrics.r2(codes, VALUES, test, VALUES_TEST, model="hist_boosted")["r2"] > 0.97
    trees = metrics.dci_regression(codes, VALUES, test, VALUES_TEST)
    assert min(trees[k] for k in ("disentanglement", "completeness", "informativeness")) > 0.97
    information = metrics.infomec_continuous(codes, VALUES)
    assert min(information[k] for k in ("infom", "infoe", "infoc")) > 0.85
    gap = metrics.mig_binned(codes, VALUES)
    assert gap["mig_binned"] > 0.8 and (gap["bins"], gap["factor_bins"]) == (20, 10)


def test_a_linear_mixture_is_read_but_not_disentangled():
    codes, test = mixed(VALUES), mixed(VALUES_TEST)
    assert metrics.r2(codes, VALUES, test, VALUES_TEST)["r2"] == pytest.approx(1)
    assert metrics.mcc(codes, VALUES)["mcc"] < 0.9
    assert metrics.infomec_continuous(codes, VALUES)["infoe"] == pytest.approx(1)
    for score in (
        metrics.mig_binned(codes, VALUES)["mig_binned"],
        metrics.dci_regression(codes, VALUES, test, VALUES_TEST)["disentanglement"],
        metrics.infomec_continuous(codes, VALUES)["infom"],
    ):
        assert score < 0.5


def test_noise_knows_nothing():
    codes, test = RNG.standard_normal((600, 4)), RNG.standard_normal((300, 4))
    assert metrics.mcc(codes, VALUES)["mcc"] < 0.15
    assert abs(metrics.r2(codes, VALUES, test, VALUES_TEST)["r2"]) < 0.1
    assert metrics.dci_regression(codes, VALUES, test, VALUES_TEST)["informativeness"] < 0.05
    assert metrics.mig_binned(codes, VALUES)["mig_binned"] < 0.05


def test_mcc_is_the_best_of_all_matchings():
    codes, values = RNG.standard_normal((50, 3)), RNG.standard_normal((50, 3))
    codes[:, 0] += values[:, 2]
    r = np.abs(np.corrcoef(codes.T, values.T)[:3, 3:])
    best = max(np.mean(r[order, range(3)]) for order in itertools.permutations(range(3)))
    found = metrics.mcc(codes, values)
    assert found["mcc"] == pytest.approx(best)
    np.testing.assert_allclose(found["correlation"], r)
    assert metrics.mcc(np.exp(values), values)["mcc_spearman"] == pytest.approx(1)
    one = metrics.mcc(values[:, :1], values)  # two factors are left without a latent
    assert one["mcc"] == pytest.approx(1 / 3) and one["main_latent"].tolist() == [0, -1, -1]


def test_r2_is_that_of_least_squares():
    codes, test = RNG.standard_normal((80, 2)), RNG.standard_normal((40, 2))
    values, target = VALUES[:80] + codes[:, :1], VALUES_TEST[:40]
    with_one = np.insert(codes, 0, 1.0, axis=1)
    weights = np.linalg.lstsq(with_one, values, rcond=None)[0]
    error = target - np.insert(test, 0, 1.0, axis=1) @ weights
    expected = 1 - np.square(error).sum(0) / np.square(target - target.mean(0)).sum(0)
    np.testing.assert_allclose(metrics.r2(codes, values, test, target)["per_factor"], expected)


def test_information_of_gaussians_is_their_correlation():
    noise = RNG.standard_normal((3000, 2))
    codes = np.stack([noise[:, 0], 0.6 * noise[:, 0] + 0.8 * noise[:, 1]], 1)
    found = metrics.infomec_continuous(codes, codes[:, 1:])["nmi"]
    assert found[0, 0] == pytest.approx(0.36, abs=0.05)  # Linfoot's coefficient, squared


def test_discrete_factors_beside_continuous_ones():
    classes = RNG.randint(0, 4, 600)
    values = np.stack([VALUES[:, 0], classes], 1)
    codes = np.stack([VALUES[:, 0], classes + 0.01 * VALUES[:, 1]], 1)
    kinds = (True, False)
    assert metrics.mig_binned(codes, values, kinds)["mig_binned"] > 0.9
    found = metrics.infomec_continuous(codes, values, kinds)
    assert found["nmi"][1, 1] == pytest.approx(1, abs=0.02)
    gap = metrics.mig(codes, classes[:, None])["per_factor"][0]
    assert metrics.mig_binned(codes, values, kinds)["per_factor"][1] == pytest.approx(gap)


def test_factors_of_one_value_are_left_out():
    values, test = VALUES.copy(), VALUES_TEST.copy()
    values[:, 1] = test[:, 1] = 0.5
    codes = VALUES[:, [0, 2]]
    for result in (
        metrics.mcc(codes, values),
        metrics.r2(codes, values, VALUES_TEST[:, [0, 2]], test),
        metrics.dci_regression(codes, values, VALUES_TEST[:, [0, 2]], test),
        metrics.infomec_continuous(codes, values),
    ):
        assert np.isnan(result["per_factor"][1]) and np.isfinite(result["per_factor"][[0, 2]]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VALUES[:, 0], "expected numbers"),
        (VALUES.astype(str), "expected numbers"),
        (np.full((600, 3), np.nan), "NaN or Inf in factors"),
        (np.ones((600, 3)), "never vary"),
        (VALUES[:9], "factors of the encoded images"),
    ],
)
def test_bad_values(values, message):
    codes = planted(VALUES)
    for call in (
        lambda: metrics.mcc(codes, values),
        lambda: metrics.r2(codes, values, codes, VALUES),
        lambda: metrics.infomec_continuous(codes, values),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_codes_are_scaled_by_those_that_are_learned_from():
    rng = np.random.default_rng(0)
    codes, test = (rng.normal(3.0, 2.0, size=(100, 3)) for _ in range(2))
    codes[:, 2] = 0.7
    known = check_numeric(codes, codes[:, :1], test, test[:, :1])
    np.testing.assert_allclose(known.codes.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(known.codes.std(0), [1, 1, 0])
    expected = (test[:, :2] - codes[:, :2].mean(0)) / codes[:, :2].std(0)
    np.testing.assert_allclose(known.codes_test[:, :2], expected)
