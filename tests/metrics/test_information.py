"""Information in codes: of bins, neighbours and posteriors, beside libraries and formulas."""

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import mutual_info_score

from devae_jax import metrics
from devae_jax.metrics.binning import bin_codes
from devae_jax.metrics.infomec import share
from devae_jax.metrics.information import entropy, information
from devae_jax.metrics.inputs import check_factors
from devae_jax.metrics.unsupervised import pairwise_information


def test_information_equals_scikit_learns():
    rng = np.random.default_rng(0)
    factors = rng.integers(6, size=(500, 2))
    codes = factors @ rng.normal(size=(2, 3)) + rng.normal(size=(500, 3))
    binned = bin_codes(codes, 20)
    expected = [[mutual_info_score(b, f) for f in factors.T] for b in binned.T]
    np.testing.assert_allclose(metrics.mi_matrix(codes, factors), expected, atol=1e-12)
    pairs = [[mutual_info_score(a, b) for a in binned.T] for b in binned.T]
    np.fill_diagonal(expected := np.array(pairs), 0)
    np.testing.assert_allclose(pairwise_information(binned, 20), expected, atol=1e-12)


def test_bins_equal_numpys():
    codes = np.random.default_rng(0).normal(size=(1000, 1))
    edges = np.histogram(codes[:, 0], 20)[1]
    np.testing.assert_array_equal(bin_codes(codes)[:, 0] + 1, np.digitize(codes[:, 0], edges[:-1]))


def test_a_code_on_an_edge_belongs_to_the_bin_above():
    codes = np.arange(21.0)[:, None]  # the 21 edges of 20 bins
    assert bin_codes(codes)[:, 0].tolist() == [*range(20), 19]
    expected = np.digitize(codes[:, 0], np.histogram(codes[:, 0], 20)[1][:-1]) - 1
    np.testing.assert_array_equal(bin_codes(codes)[:, 0], expected)
    factors = (np.arange(21) // 2)[:, None]  # two codes a bin, three in the last
    known = metrics.mi_matrix(codes, factors, bins=10)[0, 0]
    assert known == pytest.approx(entropy(np.array([2] * 9 + [3])))


def test_bias_and_noise_of_information_are_those_of_independent_variables():
    """2 N I is chi-squared with (bins - 1)(values - 1) degrees of freedom."""
    rng, n = np.random.default_rng(0), 1_000
    codes = rng.random((n, 400))
    factors = np.stack([rng.integers(size, size=n) for size in (2, 3, 7)], axis=1)
    found = information(codes, check_factors(factors))
    np.testing.assert_allclose(found.bias[0], 19 * np.array([1, 2, 6]) / (2 * n))
    np.testing.assert_allclose(found.noise[0], np.sqrt(2 * 19 * np.array([1, 2, 6])) / (2 * n))
    np.testing.assert_allclose(found.mi.mean(0), found.bias[0], rtol=0.05)
    np.testing.assert_allclose(found.mi.std(0), found.noise[0], rtol=0.15)
    halves = np.where(codes[:, :1] > 0.5, 1.0, 0.0)  # two bins of twenty are occupied
    assert information(halves, check_factors(factors)).bias[0].tolist() == [0.0005, 0.001, 0.003]


def test_exact_total_correlation_of_noise_is_not_biased():
    codes = np.random.default_rng(0).normal(size=(2_000, 100))
    plain, exact = (
        metrics.unsupervised(codes, protocol=p)["gaussian_total_correlation"]
        for p in ("dlib", "exact")
    )
    assert plain == pytest.approx(100 * 99 / 4 / 2_000, rel=0.1)
    assert abs(exact) < 0.15


def test_posterior_information_of_known_gaussians():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(500, 1))
    mean = np.concatenate([20.0 * factors, np.zeros((500, 1))], axis=1)
    result = metrics.rmig(mean, np.zeros_like(mean), factors, 0)
    assert result["rmig"] == pytest.approx(1, abs=0.01)  # one latent tells the bit, one nothing
    entropy = 0.5 * np.log(2 * np.pi * np.e)
    np.testing.assert_allclose(result["conditional_entropy"], entropy, atol=0.1)
    assert result["entropy"][0] == pytest.approx(entropy + np.log(2), abs=0.1)
    with pytest.raises(ValueError, match="expected equal"):
        metrics.rmig(mean, mean[:, :1], factors)


def test_kl_and_active_units_by_formula():
    mean = np.array([[1.0, 0.0], [-1.0, 0.0]])
    logvar = np.log(np.array([[0.25, 1.0], [0.25, 1.0]]))
    result = metrics.kl(mean, logvar)
    expected = 0.5 * (0.25 + 1 - 1 - np.log(0.25))
    np.testing.assert_allclose(result["per_latent"], [expected, 0], atol=1e-12)
    assert metrics.active_units(mean)["active_units"] == 1
    assert metrics.active_units(mean, threshold=1.0)["active_units"] == 0  # not over it


def test_little_information_in_two_latents_is_diffused_by_half():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(4000, 1))
    weak = np.where(rng.random((4000, 1)) < 0.3, 1 - factors, factors).astype(float)
    result = metrics.diffusion(np.concatenate([weak, weak], axis=1), factors)
    assert result["outside"][0] < 0.1 and result["diffusion"] == pytest.approx(0.5)


def test_a_row_of_zeros_is_spread_evenly():
    matrix = np.array([[0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0]])
    assert share(matrix).tolist() == [0.25, 0.75]
    assert share(matrix[:, :0]).tolist() == [1.0, 1.0]


def test_infomec_of_a_perfect_and_a_mixed_code():
    rng = np.random.default_rng(0)
    factors = rng.integers(5, size=(1000, 2))
    perfect = metrics.infomec(factors.astype(float), factors)
    assert min(perfect[name] for name in ("infom", "infoe", "infoc")) > 0.97
    mixed = metrics.infomec(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors)
    assert mixed["infom"] < 0.2 and mixed["infoc"] < 0.2
    dead = metrics.infomec(np.insert(factors.astype(float), 2, 1e-3 * rng.random(1000), 1), factors)
    assert dead["active"].tolist() == [True, True, False]


def test_information_of_neighbours_is_the_authors():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=800) for size in (3, 4)], axis=1)
    codes = np.stack(
        [
            factors[:, 0] + 0.3 * rng.normal(size=800),
            factors @ [1.0, 1.0] + 0.3 * rng.normal(size=800),
            0.1 * rng.random(800),  # spans less than 1/20 of the widest
            0.3 * rng.normal(size=800),
        ],
        axis=1,
    )
    result = metrics.infomec_knn(codes, factors)
    nmi = np.empty((4, 2))
    for k in range(2):
        for j in range(4):
            z = (codes[:, j] - codes[:, j].mean()) / codes[:, j].std()
            known = mutual_info_classif(z[:, None], factors[:, k], n_neighbors=10, random_state=1)
            nmi[j, k] = known[0] / mutual_info_score(factors[:, k], factors[:, k])
    assert result["active"].tolist() == [True, True, False, True]
    nmi[2] = 0.0
    np.testing.assert_allclose(result["nmi"], nmi, atol=1e-6)
    live = nmi[[0, 1, 3]]
    infom = 2 * np.mean(live.max(1) / live.sum(1)) - 1
    infoc = (np.mean(live.max(0) / live.sum(0)) - 1 / 3) / (1 - 1 / 3)
    assert result["infom"] == pytest.approx(infom) and result["infoc"] == pytest.approx(infoc)
    assert result["infoe"] == metrics.infomec(codes, factors)["infoe"]


def test_information_of_neighbours_does_not_depend_on_the_spread_of_a_latent():
    """Bins of equal width lose what a latent says in a corner of its range."""
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(2_000, 2))
    codes = factors + 0.1 * rng.normal(size=(2_000, 2))
    stretched = np.concatenate([codes, [[100.0, 100.0]]]), np.concatenate([factors, [[0, 0]]])
    binned, knn = (m(*stretched)["nmi"][0, 0] for m in (metrics.infomec, metrics.infomec_knn))
    assert binned < 0.05 and knn > 0.9
