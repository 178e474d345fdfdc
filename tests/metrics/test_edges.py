"""Odd input: a defined value, or an error that says what to do."""

import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.types import Dataset, FactorGrid
from tests.metrics.doors import OF_CODES

CODES = {**OF_CODES, "infomec": metrics.infomec, "infomec_knn": metrics.infomec_knn}
SPLIT = {
    "sap": metrics.sap,
    "explicitness": metrics.explicitness,
    "dci": lambda *split: metrics.dci(*split, model="random_forest", jobs=1),
    "downstream": metrics.downstream,
    "downstream_cv": lambda *split: metrics.downstream(*split, model="logistic_cv", sizes=(20,)),
    "med": metrics.med,
}
ALL = sorted({*CODES, *SPLIT})
GRID = FactorGrid(("a", "b"), (4, 5))


def rows(n=200, dim=3, sizes=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=n) for size in sizes], axis=1)
    codes = np.zeros((n, dim))
    for j in range(dim):
        codes[:, j] = factors[:, j % len(sizes)] + 0.1 * rng.normal(size=n)
    return codes, factors


def run(name, codes, factors):
    half = len(codes) // 2
    if name in CODES:
        return CODES[name](codes, factors)
    return SPLIT[name](codes[:half], factors[:half], codes[half:], factors[half:])


def numbers(result):
    return [v for v in result.values() if isinstance(v, float)]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("dead", ["alive", "one constant", "all constant"])
def test_any_number_of_latents_dead_or_alive(name, dim, dead):
    codes, factors = rows(dim=dim)
    codes[:, : {"alive": 0, "one constant": 1, "all constant": dim}[dead]] = 0.7
    assert np.isfinite(numbers(run(name, codes, factors))).all()


def test_dead_latents_by_their_own_entropy():
    codes, factors = rows()
    codes[:, 0] = 0.7
    result = metrics.mig_sup(codes, factors, normaliser="code")
    assert result["per_latent"][0] == 0 and 0 < result["mig_sup"] < 1
    bits = np.arange(400)[:, None] // np.array([1, 2]) % 2  # of 0.69 nats
    assert metrics.mig_sup(1.0 * bits, bits, normaliser="code")["mig_sup"] == pytest.approx(1)


@pytest.mark.parametrize("name", ["mig", "mig_sup", "modularity", "irs", "med", "diffusion"])
def test_a_code_without_information_scores_zero(name):
    _, factors = rows()
    assert run(name, np.full((200, 3), 0.7, np.float32), factors)[name] == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize("name", ALL)
def test_a_single_factor(name):
    codes, factors = rows()
    assert np.isfinite(numbers(run(name, codes, factors[:, :1]))).all()


@pytest.mark.parametrize("name", ALL)
def test_a_factor_that_never_varies_is_left_out(name):
    codes, factors = rows()
    result = run(name, codes, factors)
    wider = run(name, codes, np.insert(factors, 1, 7, axis=1))
    for key in (k for k, v in result.items() if isinstance(v, float)):
        assert wider[key] == pytest.approx(result[key], abs=1e-12), key
    if "per_factor" in wider:
        assert np.isnan(wider["per_factor"]).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ALL)
def test_a_value_that_only_the_test_split_has(name):
    codes, factors = rows()
    factors[150:160, 0] = 9
    assert np.isfinite(numbers(run(name, codes, factors))).all()


def test_duplicated_latents_lose_the_gap_but_not_modularity():
    codes, factors = rows(dim=2)
    twice = np.repeat(codes, 2, axis=1)
    assert metrics.mig(twice, factors)["mig"] == pytest.approx(0, abs=1e-12)
    assert metrics.modularity(twice, factors)["modularity"] > 0.95
    assert metrics.diffusion(twice, factors)["diffusion"] == pytest.approx(0.5, abs=0.02)
    assert metrics.unsupervised(twice)["gaussian_total_correlation"] > 10


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda c, f: (np.where(np.arange(200)[:, None] == 3, np.nan, c), f), "NaN or Inf"),
        (lambda c, f: (np.where(np.arange(3) == 1, np.inf, c), f), r"latents \[1\]"),
        (lambda c, f: (c, f + 0.5), "bin_factors"),
        (lambda c, f: (c, f[:, 0]), r"factors\[:, None\]"),
        (lambda c, f: (c[:, 0], f), "expected .samples, latents"),
        (lambda c, f: (c, np.zeros_like(f)), "never vary"),
        (lambda c, f: (c.astype(complex), f), "real numbers"),
        (lambda c, f: (c[:, :0], f), "expected .samples, latents"),
    ],
)
def test_bad_input_says_what_to_do(name, spoil, told):
    with pytest.raises(ValueError, match=told):
        run(name, *spoil(*rows()))


@pytest.mark.parametrize("name", sorted(CODES))
def test_mismatched_lengths(name):
    codes, factors = rows()
    with pytest.raises(ValueError, match="got 200 codes and 199 rows"):
        CODES[name](codes, factors[1:])


@pytest.mark.parametrize("name", sorted(SPLIT))
def test_mismatched_splits(name):
    codes, factors = rows()
    with pytest.raises(ValueError, match="same columns"):
        SPLIT[name](codes, factors, codes[:, :2], factors)


@pytest.mark.parametrize("name", sorted(set(CODES) - {"irs", "infomec_knn"}))
def test_fewer_samples_than_bins(name):
    codes, factors = rows(n=19)
    with pytest.raises(ValueError, match="19 samples for bins=20"):
        CODES[name](codes, factors)


def test_unknown_names_are_corrected():
    codes, factors = rows()
    with pytest.raises(ValueError, match="did you mean 'dlib'"):
        metrics.mig(codes, factors, protocol="dlip")
    with pytest.raises(ValueError, match="did you mean 'random_forest'"):
        metrics.dci(codes, factors, codes, factors, model="random_forrest")
    with pytest.raises(ValueError, match="did you mean 'spearman'"):
        metrics.udr([codes, codes], method="spearmen")


def test_incomplete_grids_are_refused():
    codes = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match="got 19 codes for a grid of 20 points"):
        metrics.CodeTable(codes[1:], GRID)
    half = metrics.CodeTable(codes[::2], GRID, np.arange(0, 20, 2))
    np.testing.assert_array_equal(half.lookup(np.array([4, 4, 18])), codes[[4, 4, 18]])
    with pytest.raises(ValueError, match="encode the whole grid"):
        metrics.factor_vae(half, GRID, 0, votes=20, votes_test=20)
    with pytest.raises(ValueError, match="ascending"):
        metrics.CodeTable(codes, GRID, np.arange(20)[::-1])


def test_votes_of_dead_codes_and_of_lone_factors():
    nothing = metrics.CodeTable(np.full((20, 3), 0.7, np.float32), GRID)
    result = metrics.factor_vae(nothing, GRID, 0, votes=50, votes_test=50, threshold=0.0)
    assert result["factor_vae"] == 0 and not result["active"].any()
    alone = FactorGrid(("a", "b"), (1, 20))
    code = metrics.CodeTable(np.arange(20.0)[:, None] * np.array([[1.0, -2.0]]), alone)
    result = metrics.factor_vae(code, alone, 0, votes=50, votes_test=50)
    assert result["factor_vae"] == 1 and np.isnan(result["per_factor"][0])
    with pytest.raises(ValueError, match="two factors that vary"):
        metrics.beta_vae(code, alone, 0)
    with pytest.raises(ValueError, match="a factor with two values"):
        metrics.factor_vae(code, FactorGrid(("a",), (1,)), 0)


@pytest.mark.parametrize("size", [23, 200, 10_000])
@pytest.mark.parametrize("name", ["mig", "modularity", "med", "mig_sup"])
def test_constant_codes_score_zero_whatever_rounding_says(name, size):
    """Entropies of constant codes cancel to 1e-16 only; ratios must not turn that into a score."""
    for seed in range(6):
        factors = metrics.sample_factors(np.random.RandomState(seed), (10, 10, 8, 4, 15), size)
        score = getattr(metrics, name)(np.ones((size, 5), np.float32), factors)[name]
        assert score == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("protocol", ["dlib", "exact"])
@pytest.mark.parametrize("size", [23, 39, 114, 500])
def test_a_factor_that_never_varies_changes_no_modularity(protocol, size):
    rng = np.random.RandomState(0)
    factors = metrics.sample_factors(rng, (3, 4), size)
    codes = np.concatenate([factors + 0.01 * rng.randn(size, 2), rng.randn(size, 4)], axis=1)
    with_one = np.insert(factors, 1, 7, axis=1)
    scores = [metrics.modularity(codes, f, protocol=protocol) for f in (factors, with_one)]
    assert scores[0]["modularity"] == pytest.approx(scores[1]["modularity"], abs=1e-9)
    assert (scores[0]["informative"] == scores[1]["informative"]).all()


@pytest.mark.parametrize("index", [np.arange(1, 21), np.array([-5, 3, 99])])
def test_codes_of_points_outside_the_grid_are_refused(index):
    grid = FactorGrid(("a", "b"), (4, 5))
    with pytest.raises(ValueError, match="ascending grid numbers"):
        metrics.CodeTable(np.zeros((len(index), 2)), grid, index)


def test_codes_of_another_grid_are_refused():
    table = metrics.CodeTable(np.random.RandomState(0).randn(20, 2), FactorGrid(("a", "b"), (4, 5)))
    with pytest.raises(ValueError, match=r"grid of sizes \(4, 5\)"):
        metrics.factor_vae(table, FactorGrid(("a", "b"), (5, 4)), 0, votes=10, votes_test=10)


@pytest.mark.parametrize("counts", [{"votes_test": 0}, {"batch": 1}, {"votes": 0}])
def test_too_few_votes_are_refused(counts):
    table = metrics.CodeTable(np.random.RandomState(0).randn(20, 2), FactorGrid(("a", "b"), (4, 5)))
    for score in (metrics.factor_vae, metrics.beta_vae):
        with pytest.raises(ValueError, match="expected at least one vote"):
            score(table, table.grid, 0, **counts)


def test_few_labels_are_enough_for_binned_trees():
    rng = np.random.RandomState(0)
    factors = metrics.sample_factors(rng, (3, 3), 600)
    codes = factors + 0.01 * rng.randn(600, 2)
    split = codes[:300], factors[:300], codes[300:], factors[300:]
    found = metrics.downstream(*split, model="hist_boosted", sizes=(20,))
    assert found["downstream"] > 0.9


def test_sources_without_a_grid_or_images_are_refused():
    dataset = Dataset("celeba", (64, 64, 3), 10, {})
    table = metrics.CodeTable(np.zeros((20, 2)), GRID)
    with pytest.raises(ValueError, match="'celeba' without factors"):
        metrics.factor_vae(table, dataset, 0)
    with pytest.raises(ValueError, match="pass a CodeTable"):
        metrics.factor_vae(np.zeros_like, dataset._replace(grid=GRID), 0)


def test_one_latent_that_predicts_worse_than_the_most_frequent_value_separates_nothing():
    rng = np.random.RandomState(0)
    factors = (rng.rand(400, 1) > 0.9).astype(int)
    codes = rng.randn(400, 1)
    result = metrics.sap(codes[:200], factors[:200], codes[200:], factors[200:])
    assert result["sap"] == 0 and result["score_matrix"][0, 0] < 0.9
