"""Tables of many runs."""

from devae_jax import tables


def row(method, metric, value, layer=0):
    return {
        "method": method,
        "metric": metric,
        "value": value,
        "layer": layer,
        "representation": "mean",
    }


def test_means_and_deviations_by_method():
    rows = [row("a", "mig", v) for v in (0.1, 0.3)] + [row("b", "mig", 0.5), row("b", "kl", 2.0)]
    rows += [row("a", "mig", 9.0, layer=1), row("a", "sap", 1.0), row("b", "mig", None)]
    text = tables.markdown(tables.by_method(rows, ("mig", "kl")))
    assert text.splitlines()[2:] == ["| a | 2 | 0.20 ± 0.14 | – |", "| b | 1 | 0.50 | 2.00 |"]
    assert "9.00" in tables.markdown(tables.by_method(rows, ("mig",), layer=1))
