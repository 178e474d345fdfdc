"""Tables of many runs."""

import pytest

from devae_jax.evaluation import tables


def row(method, metric, value, **others):
    return {
        "method": method,
        "metric": metric,
        "value": value,
        "layer": 0,
        "representation": "mean",
        "protocol": "dlib",
        "run": f"{method}-{value}",
        "member": None,
        "seed": 0,
        "step": 100,
        "settings": {"objective": {"terms": {"kl": {"betas": [1.0]}}}},
        "data": {"name": "toy"},
    } | others


def lines(rows, *metrics, **options):
    return tables.markdown(tables.by_method(rows, metrics, **options)).splitlines()[2:]


def test_means_and_deviations_by_method():
    rows = [row("a", "mig", v) for v in (0.1, 0.3)]
    rows += [row("b", "mig", 0.5, run="b"), row("b", "kl", 2.0, run="b")]
    rows += [row("a", "mig", 9.0, layer=1), row("a", "sap", 1.0), row("b", "mig", None)]
    assert lines(rows, "mig", "kl") == ["| a | 2 | 0.20 ± 0.14 | – |", "| b | 1 | 0.50 | 2.00 |"]
    assert lines(rows, "mig", layer=1) == ["| a | 1 | 9.00 |"]


def test_the_newest_step_of_a_run_counts_in_one_protocol():
    rows = [row("a", "mig", value, run="a", step=step) for step, value in ((300, 0.4), (10, 0.1))]
    rows += [row("a", "mig", 0.7, run="a", protocol="exact")]
    assert lines(rows, "mig") == ["| a | 1 | 0.40 |"]
    assert lines(rows, "mig", exact=True) == ["| a | 1 | 0.70 |"]


def test_published_scores_are_one_table_whatever_their_definition():
    rows = [row("a", "mig", 0.4), row("a", "kl", 2.0, protocol="formula", run="a-0.4")]
    rows += [row("a", "mig", 0.7, protocol="exact")]
    assert lines(rows, "mig", "kl") == ["| a | 1 | 0.40 | 2.00 |"]
    assert lines(rows, "mig", "kl", exact=True) == ["| a | 1 | 0.70 | – |"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": ["mgi"]}, "did you mean 'mig'"),
        ({"metrics": ["mig"], "layer": 3}, "got layer=3, expected one of 0"),
        ({"metrics": ["mig"], "exact": True}, "no run was scored on mig, expected dlib"),
    ],
)
def test_what_no_row_has_is_an_error_in_one_line(options, told):
    with pytest.raises(ValueError, match=told) as caught:
        tables.by_method([row("a", "mig", 0.1), row("a", "kl", 1.0)], **options)
    assert "\n" not in str(caught.value)


def test_other_settings_are_lines_of_their_own():
    other = {"objective": {"terms": {"kl": {"betas": [4.0]}}}}
    rows = [row("a", "mig", 0.1, member=i, run="s", seed=i) for i in range(2)]
    rows += [row("a", "mig", 0.5, member=2, run="s", settings=other)]
    rows += [row("b", "mig", 0.3), row("b", "mig", 0.4, data={"name": "shapes"})]
    assert lines(rows, "mig") == [
        "| a, betas=[1.0] | 2 | 0.10 ± 0.00 |",
        "| a, betas=[4.0] | 1 | 0.50 |",
        '| b, name="toy" | 1 | 0.30 |',
        '| b, name="shapes" | 1 | 0.40 |',
    ]
