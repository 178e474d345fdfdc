"""The fast forms equal the slow ones they replace."""

import jax
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC

from devae_jax import metrics
from devae_jax.metrics import draws
from devae_jax.metrics.calibration import FactorSource, noise_code, perfect_code
from devae_jax.metrics.explicitness import macro_area
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.svm import fit_lines
from devae_jax.types import FactorGrid

DSPRITES = FactorGrid(("shape", "scale", "orientation", "x", "y"), (3, 6, 40, 32, 32))


def slow_votes(rng, sizes, votes, batch, groups):
    fixed, points = [], []
    for _ in range(votes):
        k = rng.randint(len(sizes))
        factors = [draws.sample_factors(rng, sizes, batch) for _ in range(groups)]
        if groups == 1:
            factors[0][:, k] = factors[0][0, k]
        else:
            factors[1][:, k] = factors[0][:, k]
        fixed.append(k)
        points.append([np.ravel_multi_index(tuple(f.T), sizes) for f in factors])
    return np.array(fixed), np.array(points)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("sizes", [DSPRITES.sizes, (10, 10, 10, 8, 4, 15), (7,), (2, 2)])
@pytest.mark.parametrize(("votes", "batch"), [(700, 64), (3, 5), (1, 40_000)])
def test_votes_are_drawn_in_numpys_order(sizes, groups, votes, batch):
    fixed, points = slow_votes(np.random.RandomState(3), sizes, votes, batch, groups)
    drawn = draws.draw_votes(np.random.RandomState(3), sizes, votes, batch, groups)
    np.testing.assert_array_equal(drawn.fixed, fixed)
    np.testing.assert_array_equal(drawn.points, points)


@pytest.mark.parametrize("values", [2, 3, 12])
@pytest.mark.parametrize("kind", ["informative", "noise", "discrete", "tiny", "constant"])
def test_support_vector_lines_equal_liblinear(values, kind):
    rng = np.random.default_rng(values)
    labels = np.concatenate([np.arange(values), rng.integers(values, size=900)])
    x = rng.normal(size=len(labels)) + {"informative": 1.0}.get(kind, 0.0) * labels
    x = {"discrete": np.round(2 * x), "tiny": 1e-3 * x, "constant": 0 * x + 0.7}.get(kind, x)
    lines = fit_lines(x, labels, values)
    known = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-10, max_iter=10_000)
    known.fit(x[:, None], labels)
    slope, offset = known.coef_[:, 0], known.intercept_
    ours = (lines.slope, lines.offset) if values > 2 else (lines.slope[1:], lines.offset[1:])
    np.testing.assert_allclose(ours[0], slope, atol=1e-4)
    np.testing.assert_allclose(ours[1], offset, atol=1e-4)
    if kind != "constant":  # where all decisions tie
        np.testing.assert_array_equal(lines.predict(x), known.predict(x[:, None]))


def test_areas_equal_scikit_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=300)
    scores = np.round(rng.random((300, 4)) + 0.3 * np.eye(4)[labels], 1)  # with ties
    expected = np.mean([roc_auc_score(labels == v, scores[:, v]) for v in range(4)])
    assert macro_area(scores, labels) == pytest.approx(expected)
    assert macro_area(scores[:, :1], 0 * labels) == 0.5  # nothing to tell apart


@pytest.mark.parametrize("jobs", [1, 2])
def test_dci_is_scikit_learns_boosted_trees(jobs):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(2, size=300), rng.integers(3, size=300)], axis=1)
    codes = factors @ rng.normal(size=(2, 3)) + 0.5 * rng.normal(size=(300, 3))
    split = codes[:200], factors[:200], codes[200:], factors[200:]
    result = metrics.dci(*split, jobs=jobs)
    seeds = np.random.RandomState(0).randint(2**31, size=2)
    for k, seed in enumerate(seeds):
        model = GradientBoostingClassifier(random_state=seed).fit(split[0], split[1][:, k])
        np.testing.assert_array_equal(result["importance"][:, k], model.feature_importances_)
        assert result["accuracy"][k] == model.score(split[2], split[3][:, k])


def test_importance_of_histogram_trees_is_a_share_of_the_gain():
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(200, 1))
    codes = np.concatenate([factors + 0.3 * rng.normal(size=(200, 1)), rng.random((200, 2))], 1)
    result = metrics.dci(codes, factors, codes, factors, model="hist_boosted", jobs=1)
    assert result["importance"].sum() == pytest.approx(1) and result["importance"][0, 0] > 0.8


def test_dci_tells_its_cost_first():
    told = []
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(100, 2))
    codes = factors + rng.normal(size=(100, 2))
    metrics.dci(codes, factors, codes, factors, jobs=1, announce=told.append)
    assert len(told) == 1 and "boosted trees: about" in told[0]
    full = metrics.dci_seconds(10_000, 10, DSPRITES.sizes, jobs=1)
    assert 150 < full < 600  # 296 s were measured
    assert full / 3.5 < metrics.dci_seconds(10_000, 10, DSPRITES.sizes, jobs=8) < full / 2


def test_a_function_and_a_table_give_the_same_votes():
    grid = FactorGrid(("a", "b", "c"), (3, 4, 5))
    code = noise_code(grid, 4)
    source = FactorSource(grid)
    points = np.stack(np.unravel_index(np.arange(60), grid.sizes), axis=1)
    table = metrics.CodeTable(code(points) + points[:, :1], grid)
    options = {"votes": 300, "votes_test": 100, "batch": 16}
    for metric in (metrics.factor_vae, metrics.beta_vae):
        called = []

        def represent(factors, called=called):
            called.append(len(factors))
            return code(factors) + np.asarray(factors)[:, :1]

        one, other = metric(represent, source, 5, **options), metric(table, grid, 5, **options)
        assert called
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key])


def test_votes_look_up_large_codes_in_parts(monkeypatch):
    grid = FactorGrid(("a", "b"), (4, 5))
    code = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    table = metrics.CodeTable(code, grid)
    expected = metrics.factor_vae(table, grid, 0, votes=300, votes_test=100)
    monkeypatch.setattr("devae_jax.metrics.votes._BYTES", 10_000)
    found = metrics.factor_vae(table, grid, 0, votes=300, votes_test=100)
    np.testing.assert_array_equal(found["votes_train"], expected["votes_train"])


def test_keys_of_jax_are_seeds_too():
    grid = FactorGrid(("a", "b"), (4, 5))
    table = metrics.CodeTable(np.random.default_rng(0).normal(size=(20, 3)), grid)
    scores = [
        metrics.factor_vae(table, grid, jax.random.key(seed), votes=200)["votes_train"].tolist()
        for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]


def test_calibration_bounds_what_metrics_say():
    factors = draws.sample_factors(np.random.RandomState(0), DSPRITES.sizes, 10_000)
    noise, perfect = (make(DSPRITES, 10)(factors) for make in (noise_code, perfect_code))
    assert metrics.mig(perfect, factors)["mig"] == pytest.approx(0.895, abs=2e-3)
    assert metrics.mig(perfect, factors, protocol="exact")["mig"] > 0.97
    assert metrics.mig(noise, factors)["mig"] < 0.01
    assert metrics.modularity(noise, factors)["modularity"] == pytest.approx(0.66, abs=0.05)
    assert metrics.modularity(noise, factors, protocol="exact")["modularity"] == 0
    assert metrics.modularity(perfect, factors, protocol="exact")["modularity"] == 1
    assert metrics.irs(noise, factors)["irs"] == pytest.approx(0.35, abs=0.03)
    assert metrics.diffusion(perfect, factors)["diffusion"] == 0
    few = perfect_code(DSPRITES, 2)(factors)
    assert metrics.mig(few, factors)["per_factor"].round(1).tolist() == [0, 0, 0.8, 0.8, 0]


def test_downstream_learns_from_more_labels():
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(1200, 2))
    codes = factors + 0.4 * rng.normal(size=(1200, 2))
    split = codes[:1000], factors[:1000], codes[1000:], factors[1000:]
    for model in ("logistic", "hist_boosted"):
        result = metrics.downstream(*split, model=model)
        assert result["sizes"] == [10, 100, 1000]
        assert result["accuracy"][0].mean() < result["downstream"] > 0.8
        assert 0.7 < result["efficiency"] <= 1.05
    one = metrics.downstream(*split, sizes=(1,))
    assert one["downstream"] == pytest.approx(1 / 3, abs=0.1) and one["efficiency"] is None
    with pytest.raises(ValueError, match="more than the smallest size"):
        metrics.downstream(*split, sizes=(2_000,))


def test_cross_validated_predictor_is_the_published_one():
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(150, 2))
    codes = 5 * factors + rng.normal(size=(150, 2)) @ np.array([[3.0, 1.0], [1.0, 2.0]])
    split = codes[:100], factors[:100], codes[100:], factors[100:]
    result = metrics.downstream(*split, model="logistic_cv")
    rng = np.random.RandomState(0)
    rng.permutation(100), rng.randint(2**31, size=2)  # ten labels come first
    rows = rng.permutation(100)
    with small_fits():
        for k in range(2):
            model = LogisticRegressionCV(Cs=10, cv=KFold(n_splits=5))
            model.fit(codes[rows], factors[rows, k])
            assert result["accuracy"][1, k] == model.score(split[2], split[3][:, k])
    assert result["sizes"] == [10, 100]


@pytest.mark.parametrize("labels", [[0, 0, 0], [0] * 8 + [1, 1], [0, 1] + [0] * 8])
def test_labels_that_cannot_be_cross_validated_are_predicted_still(labels):
    n = len(labels)
    factors = np.stack([labels, np.arange(n) % 2], axis=1)
    codes = factors + 0.1 * np.random.default_rng(0).normal(size=(n, 2))
    split = codes, factors, codes, factors
    accuracy = metrics.downstream(*split, model="logistic_cv", sizes=(n,))["downstream"]
    assert 0.5 < accuracy <= 1


def test_reconstruction_errors_of_the_first_images():
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(2_500, 3)), np.log(rng.random((2_500, 3)))
    images = mean + 0.1

    def error(codes):
        return 0.5 * np.square(codes - images[: len(codes)]).sum(1)

    means = metrics.reconstruction_mean(mean, error)
    assert means["reconstruction_mean"] == pytest.approx(0.5 * 3 * 0.01)
    assert means["num_samples"] == 2_000
    one, other = (metrics.reconstruction_sampled(mean, logvar, error, seed) for seed in (0, 1))
    extra = 0.5 * np.exp(logvar[:2_000]).sum(1).mean()  # of a Gaussian likelihood, exactly
    for found in (one, other):
        assert found["reconstruction_sampled"] == pytest.approx(0.015 + extra, rel=0.05)
    assert one["reconstruction_sampled"] != other["reconstruction_sampled"]
    with pytest.raises(ValueError, match="same posterior"):
        metrics.reconstruction_sampled(mean, logvar[:, :1], error)
