"""What must not change a score: order, sign and scale of latents, names of factor values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devae_jax import metrics
from tests.metrics.doors import OF_CODES

CODE_METRICS = {
    **OF_CODES,
    "gaussian_total_correlation": metrics.unsupervised,
    "gaussian_wasserstein_correlation": metrics.unsupervised,
    "mutual_info_score": metrics.unsupervised,
}
SPLIT_METRICS = {"sap": metrics.sap, "explicitness": metrics.explicitness}
SCALE_FREE = sorted(set(CODE_METRICS) - {"irs", "gaussian_wasserstein_correlation"})
PER_LATENT = {"mig_sup": metrics.mig_sup, "modularity": metrics.modularity, "irs": metrics.irs}


def example(seed, n=400, dim=4, sizes=(3, 5)):
    """A code that knows something of two factors, mixed, and noise."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=n) for size in sizes], axis=1)
    codes = factors @ rng.normal(size=(len(sizes), dim)) + 0.3 * rng.normal(size=(n, dim))
    return codes, factors, rng


def score(name, codes, factors, **options):
    return CODE_METRICS[name](codes, factors, **options)[name]


seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=12, deadline=None)
protocols = pytest.mark.parametrize("protocol", ["dlib", "exact"])


@protocols
@pytest.mark.parametrize("name", sorted(CODE_METRICS))
@given(seed=seeds)
@few
def test_order_and_sign_of_latents_do_not_matter(name, protocol, seed):
    codes, factors, rng = example(seed)
    changed = codes[:, rng.permutation(4)] * rng.choice([-1.0, 1.0], size=4)
    expected = score(name, codes, factors, protocol=protocol)
    assert score(name, changed, factors, protocol=protocol) == pytest.approx(expected, abs=1e-9)


@protocols
@pytest.mark.parametrize("name", SCALE_FREE)
@given(seed=seeds)
@few
def test_scale_and_origin_of_latents_do_not_matter(name, protocol, seed):
    codes, factors, rng = example(seed)
    changed = codes * 2.0 ** rng.integers(-8, 8, size=4)
    expected = score(name, codes, factors, protocol=protocol)
    assert score(name, changed, factors, protocol=protocol) == pytest.approx(expected, abs=1e-9)


@protocols
@pytest.mark.parametrize("name", sorted(CODE_METRICS))
@given(seed=seeds)
@few
def test_names_of_factor_values_and_order_of_rows_do_not_matter(name, protocol, seed):
    codes, factors, rng = example(seed)
    renamed = np.stack(
        [rng.permutation(size)[factor] for size, factor in zip((3, 5), factors.T, strict=True)],
        axis=1,
    )
    rows = rng.permutation(len(codes))
    expected = score(name, codes, factors, protocol=protocol)
    found = score(name, codes[rows], renamed[rows], protocol=protocol)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(CODE_METRICS))
@given(seed=seeds)
@few
def test_order_of_factors_does_not_matter(name, seed):
    codes, factors, _ = example(seed)
    expected = score(name, codes, factors)
    assert score(name, codes, factors[:, ::-1]) == pytest.approx(expected, abs=1e-9)


@given(seed=seeds)
@few
def test_matrices_follow_the_latents(seed):
    codes, factors, rng = example(seed)
    order = rng.permutation(4)
    result, moved = metrics.mig(codes, factors), metrics.mig(codes[:, order], factors)
    np.testing.assert_allclose(moved["mi"], result["mi"][order], atol=1e-12)
    for metric in PER_LATENT.values():
        expected = metric(codes, factors)["per_latent"][order]
        np.testing.assert_allclose(metric(codes[:, order], factors)["per_latent"], expected)


@pytest.mark.parametrize("name", sorted(SPLIT_METRICS))
@given(seed=seeds)
@settings(max_examples=5, deadline=None)
def test_predictors_do_not_see_order_sign_or_names(name, seed):
    codes, factors, rng = example(seed)
    flipped = codes[:, rng.permutation(4)] * rng.choice([-1.0, 1.0], size=4)
    renamed = np.stack([rng.permutation(5)[factor] for factor in factors.T], axis=1)
    split, changed = (
        (c[:300], f[:300], c[300:], f[300:]) for c, f in ((codes, factors), (flipped, renamed))
    )
    expected = SPLIT_METRICS[name](*split)[name]
    assert SPLIT_METRICS[name](*changed)[name] == pytest.approx(expected, abs=2e-3)


BOUNDED = ("mig", "mig_sup", "modularity", "irs", "med", "diffusion")


@protocols
@pytest.mark.parametrize("name", BOUNDED)
@given(seed=seeds, dim=st.integers(1, 6), dead=st.booleans())
@few
def test_scores_stay_between_zero_and_one(name, protocol, seed, dim, dead):
    codes, factors, _ = example(seed, n=60, dim=dim)
    if dead:
        codes[:, 0] = 1.5
    assert -1e-9 <= score(name, codes, factors, protocol=protocol) <= 1 + 1e-9


@given(seed=seeds, dim=st.integers(2, 5))
@few
def test_importance_scores_are_weighted_means_of_their_parts(seed, dim):
    codes, factors, _ = example(seed, dim=dim)
    result = metrics.med(codes, factors)
    weights = result["importance"].sum(1)
    assert result["med"] == pytest.approx(np.average(result["per_latent"], weights=weights))


@given(seed=seeds, bins=st.integers(2, 30))
@few
def test_float_factors_become_valid_when_binned(seed, bins):
    values = np.random.default_rng(seed).normal(size=(100, 2))
    binned = metrics.bin_factors(values, bins)
    assert binned.dtype == np.int64 and binned.min() == 0 and binned.max() == bins - 1
    assert (np.diff(binned[np.argsort(values[:, 0]), 0]) >= 0).all()
