"""What the registry says of a metric is true of its results."""

import functools
import math

import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.metrics.calibration import FactorSource, noise_code, perfect_code
from devae_jax.metrics.choice import metrics_of
from devae_jax.metrics.declaration import NEEDS, Inputs, Score
from devae_jax.metrics.registry import GROUPS, METRICS, SCORES, resolve
from devae_jax.metrics.table import tabulate
from devae_jax.types import FactorGrid

GRID = FactorGrid(("a", "b", "c"), (2, 3, 4))
DIM = 4
CODES = ("noise", "perfect", "constant")
PROTOCOLS = ("dlib", "exact")
EVERY = [(name, code, protocol) for name in METRICS for code in CODES for protocol in PROTOCOLS]
SLACK = 1e-6  # what an optimiser may miss
GROUPS_AND_NONE = ("cheap", "standard", "continuous", "extra")
UNITS = {"", "nats", "latents"}


def make_inputs(code="noise", protocol="dlib"):
    """300 images to learn from and 100 to test on, with all that a metric may need."""
    formula = {
        "noise": noise_code(GRID, DIM),
        "perfect": perfect_code(GRID, DIM),
        "constant": lambda factors: np.full((len(factors), DIM), 0.7, np.float32),
    }[code]
    rng, source = np.random.RandomState(0), FactorSource(GRID)
    train, test = (metrics.sample_factors(rng, GRID.sizes, size) for size in (300, 100))
    codes = formula(train)
    return Inputs(
        codes=codes,
        logvar=np.full_like(codes, -4.0),
        factors=train,
        codes_test=formula(test),
        factors_test=test,
        represent=tabulate(formula, source, np.arange(math.prod(GRID.sizes))),
        source=source,
        seed=0,
        protocol=protocol,
        error=lambda codes: np.square(codes).sum(1),
        values=train.astype(np.float64),
        values_test=test.astype(np.float64),
        continuous=(True, False, True),
    )


@functools.cache
def result_of(name, code, protocol):
    if protocol == "exact" and METRICS[name].exact is None:
        return result_of(name, code, "dlib")  # a test below shows that these are the same
    return METRICS[name].run(make_inputs(code, protocol))


@pytest.mark.parametrize(("name", "code", "protocol"), EVERY)
def test_scores_lie_in_their_ranges_under_the_declared_protocol(name, code, protocol):
    metric, result = METRICS[name], result_of(name, code, protocol)
    exact = protocol == "exact" and metric.exact is not None
    assert result["protocol"] == ("exact" if exact else metric.protocol)
    for score in metric.scores:
        low, high = score.range
        assert np.isfinite(result[score.key]), score.name
        assert low is None or result[score.key] > low - SLACK, score.name
        assert high is None or result[score.key] < high + SLACK, score.name


@pytest.mark.parametrize("name", METRICS)
def test_rows_are_found_in_the_result(name):
    metric, result = METRICS[name], result_of(name, "perfect", "dlib")
    assert result["num_samples"] > 0
    for score in metric.scores:
        assert {score.key, *score.details} <= set(result)
        assert score.better in ("higher", "lower", None) and score.unit in UNITS
        assert score.label[0].isupper() or score.label[0] == "β"
        assert SCORES[score.name] is score  # no two metrics share a row's name
    assert len({score.label for score in SCORES.values()}) == len(SCORES)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.calibrated])
def test_a_perfect_code_is_better_than_noise(name):
    noise, perfect = (result_of(name, code, "dlib") for code in ("noise", "perfect"))
    for score in METRICS[name].scores:
        if score.range == (0.0, 1.0) and score.better is not None:
            sign = 1 if score.better == "higher" else -1
            assert sign * perfect[score.key] >= sign * noise[score.key] - 1e-9, score.name


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_reads_no_more_than_it_says(name):
    """With all else withheld, and a protocol asked for that it does not have, nothing changes."""
    metric = METRICS[name]
    given = make_inputs("perfect", "exact" if metric.exact is None else "dlib")
    if not {"factors", "grid"} & set(metric.needs):
        given = given._replace(factors=None, factors_test=None)
    if "values" not in metric.needs:
        given = given._replace(values=None, values_test=None, continuous=())
    if "grid" not in metric.needs:
        given = given._replace(represent=None, source=None)
    if "posterior" not in metric.needs:
        given = given._replace(logvar=None)
    if "decode" not in metric.needs:
        given = given._replace(error=None)
    assert set(metric.needs) <= set(NEEDS) and metric.group in GROUPS_AND_NONE
    found, expected = metric.run(given), result_of(name, "perfect", "dlib")
    for key in ("protocol", *(score.key for score in metric.scores)):
        assert found[key] == expected[key]


@pytest.mark.parametrize("name", [name for name, m in METRICS.items() if m.seconds])
def test_estimates_of_cost_grow_with_the_problem(name):
    seconds = METRICS[name].seconds
    least = seconds(1_000, 10, (3, 4))
    assert 0 < least < 60
    assert seconds(10_000, 10, (3, 4)) > least < seconds(1_000, 20, (3, 4))
    assert least < seconds(1_000, 10, (3, 4, 5)) < 600


def test_groups_leave_out_what_cannot_be_had():
    assert resolve("cheap", ("posterior",)) == ["kl", "active_units"]
    assert resolve("all", ()) == ["unsupervised"]
    assert set(resolve("cheap")) < set(resolve("all")) < set(METRICS)
    for group, members in GROUPS.items():
        assert {METRICS[name].group for name in resolve(group)} == set(members)
    assert "mcc" not in resolve("all", ("values", "factors", "posterior"))
    assert resolve("mcc", ("values",)) == ["mcc"]
    measured = ("values", "continuous", "posterior")
    assert resolve("continuous", measured) == resolve("all", measured)[3:]
    with pytest.raises(ValueError, match="'mig' for data without discrete factors"):
        resolve("mig", measured)
    assert "factor_vae" not in resolve("all", ("factors", "posterior", "decode"))
    assert resolve(("kl", "cheap", "kl"), ("posterior",)) == ["kl", "active_units"]


def test_a_metric_that_cannot_be_had_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"'mig' for data without factors, .*choose one of kl"):
        resolve("mig", ("posterior",))
    with pytest.raises(ValueError, match="without a posterior and a model without a decoder"):
        resolve(("unsupervised", "reconstruction_sampled"), ("factors",))
    with pytest.raises(ValueError, match="did you mean 'mig'"):
        resolve("mgi")
    with pytest.raises(ValueError, match="did you mean 'factors'"):
        resolve("mig", ("factor",))
    with pytest.raises(ValueError, match=r"expected Inputs\.error"):
        METRICS["reconstruction_mean"].run(make_inputs()._replace(error=None))


def test_other_options_than_published_are_not_called_so():
    given = make_inputs("perfect")
    codes, factors = given.codes, given.factors
    votes = {"votes": 20, "votes_test": 20}
    changed = {
        "mig": metrics.mig(codes, factors, bins=10),
        "med": metrics.med(codes, factors, bins=10),
        "modularity": metrics.modularity(codes, factors, bins=10),
        "irs": metrics.irs(codes, factors, quantile=1.0),
        "unsupervised": metrics.unsupervised(codes, bins=10),
        "factor_vae": metrics.factor_vae(given.represent, GRID, 0, **votes),
        "beta_vae": metrics.beta_vae(given.represent, GRID, 0, **votes),
        "infomec_knn": metrics.infomec_knn(codes, factors, neighbours=3),
        "downstream_cv": metrics.downstream(*given.split, model="logistic_cv", sizes=(20,)),
    }
    for name, result in changed.items():
        assert result["protocol"] in ("binned", "custom"), name


def test_a_score_is_from_zero_to_one_unless_it_says_otherwise():
    assert Score("x", "x", "X").range == (0.0, 1.0)


def test_a_metric_itself_may_need_all_that_is_there_and_no_more():
    own = METRICS["kl"]
    assert metrics_of([own], own.needs) == {"kl": own}
    assert metrics_of(["mig", own]) == {"mig": METRICS["mig"], "kl": own}
    with pytest.raises(ValueError, match="got metric 'kl' for"):
        metrics_of([own], set(own.needs) - {"posterior"})
