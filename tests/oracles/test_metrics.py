"""The numbers that papers print: disentanglement_lib's, on inputs that regenerate from formulas."""

import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.metrics.unsupervised import (
    gaussian_total_correlation,
    gaussian_wasserstein,
    total_correlation_bias,
)
from tests import oracle_inputs as inputs
from tests.oracles import metric_comparisons as comparisons


def pairs(families, cases):
    return [
        (family, case)
        for family in families
        for case in cases
        if comparisons.oracle_of(family, case) is not None
    ]


@pytest.mark.parametrize("case", inputs.CASES)
def test_inputs_are_the_oracles(case):
    known = inputs.ORACLE["sha256"][case]
    names = ("mus_train", "factors_train", "mus_test", "factors_test", "stds")
    data = comparisons.made(case)
    assert {n: inputs.sha256(a) for n, a in zip(names, data, strict=True)} == known


@pytest.mark.parametrize(
    ("family", "case"),
    pairs(("mig", "modularity", "irs", "unsupervised", "sap"), inputs.CASES)
    + pairs(("explicitness", "med", "rmig"), ("b_rotated", "h_constant")),
)
def test_equals_the_reference(family, case):
    for row in comparisons.compare(family, case):
        assert row.difference <= row.tolerance, row


@pytest.mark.parametrize("family", ["factor_vae", "beta_vae"])  # varies first: a code serves two
@pytest.mark.parametrize("case", ["b_rotated", "e_collapsed", "h_constant"])
def test_votes_equal_the_reference(case, family):
    for row in comparisons.compare(family, case):
        assert row.difference <= row.tolerance, row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "case"),
    pairs(comparisons.FAMILIES, inputs.CASES),
)
def test_everything_equals_the_reference(family, case):
    for row in comparisons.compare(family, case):
        assert row.difference <= row.tolerance, row


@pytest.mark.parametrize("case", sorted(inputs.ORACLE["extra"]))
def test_forms_of_other_libraries(case):
    data, known = comparisons.made(case), inputs.ORACLE["extra"][case]
    jemmig = metrics.jemmig(data.codes, data.factors)["jemmig"]
    mig_sup = metrics.mig_sup(data.codes, data.factors, normaliser="code")["mig_sup"]
    assert jemmig == pytest.approx(known["jemmig_from_ref_mi"], abs=1e-6)
    assert mig_sup == pytest.approx(known["migsup_from_ref_mi_over_Hcode"], abs=1e-6)


def test_bins_are_float64():
    data = inputs.make("b_rotated", "shapes3d")
    assert inputs.sha256(data.codes) == inputs.ORACLE["sha256_shapes3d"]["b_rotated"]["mus_train"]
    assert metrics.mig(data.codes, data.factors)["mig"] == pytest.approx(0.093310, abs=1e-6)


@pytest.mark.parametrize("row", inputs.ORACLE["total_correlation"], ids=lambda r: str(r["D"]))
def test_total_correlation_of_gaussians(row):
    pair = np.array([[1.0, row["rho"]], [row["rho"], 1.0]])
    covariance = np.kron(np.eye(row["D"] // 2), pair)
    assert gaussian_total_correlation(covariance) == pytest.approx(row["tc_analytic_nats"])
    if row["D"] < 1000:
        analytic = row["wasserstein_analytic"]
        assert gaussian_wasserstein(covariance) == pytest.approx(analytic, rel=1e-6)
    bias = total_correlation_bias(10_000, row["D"])
    assert bias == pytest.approx(row["analytic_bias_N10000"], rel=1e-5)
