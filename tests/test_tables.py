"""Tables of many runs."""

from devae_jax import tables


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
        "hparams": {"objective": {"terms": {"kl": {"betas": [1.0]}}}},
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
    assert lines(rows, "mig", protocol="exact") == ["| a | 1 | 0.70 |"]


def test_other_settings_are_lines_of_their_own():
    other = {"objective": {"terms": {"kl": {"betas": [4.0]}}}}
    rows = [row("a", "mig", 0.1, member=i, run="s", seed=i) for i in range(2)]
    rows += [row("a", "mig", 0.5, member=2, run="s", hparams=other)]
    rows += [row("b", "mig", 0.3), row("b", "mig", 0.4, data={"name": "shapes"})]
    assert lines(rows, "mig") == [
        "| a, betas=[1.0] | 2 | 0.10 ± 0.00 |",
        "| a, betas=[4.0] | 1 | 0.50 |",
        '| b, name="toy" | 1 | 0.30 |',
        '| b, name="shapes" | 1 | 0.40 |',
    ]
