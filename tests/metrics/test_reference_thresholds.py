"""The unit tests of disentanglement_lib, restated: ten factors that are their own code."""

import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.metrics.binning import bin_codes
from devae_jax.metrics.calibration import FactorSource
from devae_jax.metrics.information import entropy
from devae_jax.metrics.matrices import completeness, disentanglement
from devae_jax.metrics.modularity import modularity_of
from devae_jax.metrics.udr import relative_strength
from devae_jax.metrics.unsupervised import gaussian_total_correlation, gaussian_wasserstein
from devae_jax.types import FactorGrid

GRID = FactorGrid(tuple("abcdefghij"), (10,) * 10)
ONE_CODE_TWO_FACTORS = np.eye(5).repeat(2, axis=1)
REDUNDANT = np.eye(5).repeat(2, axis=0)
WITH_EMPTY = np.concatenate([np.eye(2), np.zeros((1, 2))])


def identity(n, seed=0):
    factors = np.random.RandomState(seed).randint(1, 11, size=(n, 10))
    return factors.astype(np.float64), factors


def duplicated(n):
    codes, factors = identity(n)
    return np.concatenate([codes, codes], axis=1), factors


def constant(n):
    return np.zeros((n, 10)), identity(n)[1]


def shuffled(n):
    """Each sample's values in an order of its own."""
    codes, factors = identity(n)
    return np.random.default_rng(1).permuted(codes, axis=1), factors


def test_bins_entropy_and_information():
    assert bin_codes(np.arange(0.1, 0.7, 0.1)[:, None], 3)[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert entropy(np.array([2, 2, 2])) == pytest.approx(np.log(3))
    factors = np.array([[0, 0], [0, 0], [1, 0], [1, 0]])
    found = metrics.mi_matrix(factors.astype(float), factors[:, ::-1], bins=2)
    np.testing.assert_allclose(found, [[0, np.log(2)], [0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("code", "low", "high"), [(identity, 0.9, 1), (constant, 0, 0.2), (duplicated, 0, 0.1)]
)
def test_mig(code, low, high):
    assert low <= metrics.mig(*code(3000))["mig"] <= high


@pytest.mark.parametrize(
    ("mi", "expected"),
    [
        (np.eye(5), 1),
        (WITH_EMPTY, 2 / 3),
        (np.zeros((5, 5)), 0),
        (REDUNDANT, 1),
        (np.eye(5)[:3], 1),
        (ONE_CODE_TWO_FACTORS, 1 - 1 / 9),
    ],
)
def test_modularity_of_matrices(mi, expected):
    assert modularity_of(mi).mean() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("code", "n", "low", "high"),
    [(identity, 3000, 0.9, 1), (duplicated, 3000, 0.9, 1), (shuffled, 20_000, 0, 0.2)],
)
def test_modularity(code, n, low, high):
    assert low <= metrics.modularity(*code(n))["modularity"] <= high


@pytest.mark.parametrize(
    ("importance", "d", "c"),
    [
        (np.eye(5), 1, 1),
        (WITH_EMPTY, 1, 1),
        (np.zeros((5, 5)), 0, 0),
        (REDUNDANT, 1, 1 - np.log(2) / np.log(10)),
        (np.eye(5)[:, :3], 1, 1),
        (ONE_CODE_TWO_FACTORS, 1 - np.log(2) / np.log(10), 1),
    ],
)
def test_disentanglement_and_completeness_of_matrices(importance, d, c):
    assert disentanglement(importance)[0] == pytest.approx(d, abs=1e-7)
    assert completeness(importance)[0] == pytest.approx(c, abs=1e-7)


@pytest.mark.parametrize(("code", "low", "high"), [(identity, 0.9, 1), (shuffled, 0, 0.2)])
def test_dci_with_fast_trees(code, low, high):
    codes, factors = (array[:, :3] for array in code(1000))
    result = metrics.dci(codes, factors, codes, factors, model="hist_boosted", jobs=1)
    assert low <= result["disentanglement"] <= high + 1e-9
    assert low <= result["completeness"] <= high + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "d", "c"),
    [
        (identity, (0.9, 1), (0.9, 1)),
        (duplicated, (0.9, 1), (0.599, 0.799)),
        (shuffled, (0, 0.2), (0, 0.2)),
    ],
)
def test_dci(code, d, c):
    codes, factors = code(2000)
    result = metrics.dci(codes[:1000], factors[:1000], codes[1000:], factors[1000:])
    assert d[0] <= result["disentanglement"] <= d[1] + 1e-9
    assert c[0] <= result["completeness"] <= c[1] + 1e-9


@pytest.mark.parametrize(
    ("code", "low", "high"), [(identity, 0.9, 1), (constant, 0, 0.2), (duplicated, 0, 0.2)]
)
def test_sap_of_factors_as_numbers(code, low, high):
    codes, factors = code(6000)
    result = metrics.sap(codes[:3000], factors[:3000], codes[3000:], factors[3000:])
    assert low <= result["sap_continuous"] <= high


def test_unified_scores_of_information():
    """The reference's other way to MIG and modularity, from one matrix."""
    codes, factors = identity(10_000)
    assert 0.9 <= metrics.mig(codes, factors)["mig"] <= 1
    assert 0.9 <= metrics.modularity(codes, factors)["modularity"] <= 1
    codes, factors = duplicated(1000)
    assert 0 <= metrics.mig(codes, factors)["mig"] <= 0.2
    assert 0.9 <= metrics.modularity(codes, factors)["modularity"] <= 1


def test_unified_scores_of_support_vectors():
    codes, factors = duplicated(2000)
    result = metrics.sap(codes[:1000], factors[:1000], codes[1000:], factors[1000:])
    assert 0 <= result["sap"] <= 0.2


@pytest.mark.slow
def test_unified_scores_of_trees():
    """Of many more samples than `test_dci`, which has the reference's duplicated latents."""
    codes, factors = identity(10_100)
    split = codes[:10_000], factors[:10_000], codes[10_000:], factors[10_000:]
    assert 0.9 <= metrics.dci(*split)["disentanglement"] <= 1 + 1e-9


@pytest.mark.parametrize(("code", "low", "high"), [(identity, 0.9, 1), (constant, 0, 0.1)])
def test_irs(code, low, high):
    assert low <= metrics.irs(*code(3000))["irs"] <= high


def test_irs_leaves_constants_out():
    codes, factors = identity(1000)
    wider = np.concatenate([codes, np.full((1000, 1), 0.7)], axis=1)
    assert metrics.irs(wider, factors)["irs"] == metrics.irs(codes, factors)["irs"]
    assert metrics.irs(wider, factors)["num_active_dims"] == 10
    assert metrics.irs(wider, factors)["parents"][-1] == -1


@pytest.mark.parametrize(("scale", "low", "high"), [(1.0, 0.9, 1), (0.0, 0, 0.2)])
def test_factor_vae(scale, low, high):
    result = metrics.factor_vae(
        lambda x: scale * np.asarray(x, np.float32),
        FactorSource(GRID),
        0,
        batch=5,
        votes=3000,
        votes_test=2000,
        num_variance=2500,
    )
    assert low <= result["factor_vae"] <= high
    assert low <= result["train_accuracy"] <= high


def test_beta_vae():
    result = metrics.beta_vae(
        lambda x: np.asarray(x, np.float32),
        FactorSource(GRID),
        0,
        batch=5,
        votes=2000,
        votes_test=2000,
    )
    assert 0.9 <= result["beta_vae"] <= 1 and 0.9 <= result["train_accuracy"] <= 1


def test_unsupervised_of_covariances():
    assert gaussian_total_correlation(np.eye(5)) == pytest.approx(0, abs=0.01)
    assert gaussian_wasserstein(np.eye(5)) == pytest.approx(0, abs=0.01)
    pair = np.array([[1, 0.9], [0.9, 1]])
    assert gaussian_total_correlation(pair) == pytest.approx(0.830365, abs=1e-6)
    assert gaussian_wasserstein(pair) == pytest.approx(0.610735, abs=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), 1),
        (np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), 2 / 3),
        (np.ones((3, 3)), 1 / 3),
        (np.zeros((3, 3)), 0),
    ],
)
def test_relative_strength(matrix, expected):
    assert relative_strength(matrix) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["lasso", "spearman"])
def test_udr_of_a_permuted_and_flipped_code(method):
    rng = np.random.RandomState(0)
    codes = rng.normal(size=(1000, 6))
    copy = codes[:, rng.permutation(6)] * rng.choice([-1, 1], size=6)
    result = metrics.udr([codes, copy], method=method)
    assert (result["udr"] > 0.8).all() and (result["udr"] <= 1 + 1e-9).all()


def test_udr_leaves_uninformative_latents_out():
    rng = np.random.RandomState(0)
    informative = rng.normal(size=(1000, 1))
    runs = [np.concatenate([informative, rng.normal(size=(1000, 9))], axis=1) for _ in range(3)]
    kl = [np.eye(10)[0]] * 3
    assert (metrics.udr(runs)["udr"] < 0.2).all()
    assert (metrics.udr(runs, kl)["udr"] > 0.8).all()
    assert (metrics.udr(runs, [np.zeros(10)] * 3)["udr"] == 0).all()


def test_udr_finds_the_run_that_agrees_with_none():
    rng = np.random.RandomState(0)
    codes = rng.normal(size=(1000, 4))
    mixed = codes @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    scores = metrics.udr([codes, codes[:, ::-1], -codes, mixed])["udr"]
    assert scores.argmin() == 3
    with pytest.raises(ValueError, match="two runs or more"):
        metrics.udr([codes])
    with pytest.raises(ValueError, match="same images"):
        metrics.udr([codes, codes[:-1]])
    for kl in ([np.ones(4)], [np.ones(4), np.array([1.0, np.nan, 1.0, 1.0])]):
        with pytest.raises(ValueError, match=f"got kl of {len(kl)} runs for 2 runs"):
            metrics.udr([codes, codes], kl)
