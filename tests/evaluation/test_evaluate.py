"""One evaluation: encode once, share the codes, calibrate, declare."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.evaluation.codes import Coder
from devae_jax.evaluation.evaluate import available, evaluate
from devae_jax.evaluation.rows import by_score, compact, interval, table
from devae_jax.files import write_json
from devae_jax.metrics.registry import METRICS, SCORES, Inputs, resolve
from tests.evaluation.synthetic import (
    CODER,
    SIZES,
    SMALL,
    by_name,
    counting,
    encode,
    error,
    factor_images,
    logits,
    unlabelled,
)

pytestmark = pytest.mark.xdist_group("every_row")  # what its tests share is made once

FAST = ("mig", "modularity", "irs", "unsupervised", "kl", "active_units", "diffusion")
NAMES = [name for name in METRICS if name not in ("dci", "downstream_boosted")]


def test_rows_hold_scores_bounds_intervals_and_matrices():
    rows = evaluate(CODER, factor_images(), metrics=(*FAST, "reconstruction_mean"), **SMALL)
    first, second = by_name(rows, 0), by_name(rows, 1)
    assert first["mig"]["value"] == pytest.approx(second["mig"]["value"])  # free of scale
    assert first["kl"]["value"] > second["kl"]["value"]
    assert first["reconstruction_mean"]["value"] < 1e-6
    assert second["reconstruction_mean"]["value"] < 1e-6
    assert first["active_units"]["value"] == 3
    mig = first["mig"]
    assert mig["floor"] < 0.1 and mig["value"] > 0.95
    assert 0.5 < mig["ceiling"] < mig["value"]  # its dead latent tells 60 images apart
    assert mig["low"] <= mig["value"] <= mig["high"] and len(mig["values"]) == 2
    assert np.shape(mig["mi"]) == (4, 3) and len(mig["per_factor"]) == 3
    assert mig["num_samples"] == 300 and mig["latent_dim"] == 4
    assert first["kl"]["floor"] is None and len(first["kl"]["per_latent"]) == 4


@pytest.fixture(scope="module")
def every_row():
    """All metrics but the slowest, of layer 1 and seed 3."""
    options = SMALL | {"seeds": (3,), "calibrate": False, "layers": (1,)}
    return evaluate(CODER, factor_images(), metrics=NAMES, **options)


def test_rows_describe_themselves_as_the_registry_does(every_row):
    protocols = {score.name: m.protocol for m in METRICS.values() for score in m.scores}
    assert [row["metric"] for row in every_row] == [
        s.name for n in NAMES for s in METRICS[n].scores
    ]
    for row in every_row:
        score = SCORES[row["metric"]]
        assert row["protocol"] == protocols[score.name], score.name
        assert (row["better"], row["unit"]) == (score.better, score.unit)
        assert tuple(row["range"]) == score.range
        assert row["value"] is not None and all(detail in row for detail in score.details)


def by_hand(name, seed, layer, exact):
    """A metric's result on codes made here."""
    dataset, scale = factor_images(), (1.0, 0.5)[layer]
    rng = np.random.RandomState(seed)
    factors, factors_test = (metrics.sample_factors(rng, (3, 4, 5), n) for n in (300, 200))
    if exact and METRICS[name].exact == "grid":
        factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
    grid = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)

    def codes(factors):
        return np.insert(scale * (factors / SIZES).astype(np.float32), 3, 0, axis=1)

    def errors(z):
        images = (factors[: len(z)] / SIZES)[:, None, :, None].astype(np.float32)
        return np.asarray(error(logits(jnp.asarray(z), jnp.full(len(z), layer)), images))

    return METRICS[name].run(
        Inputs(
            codes=codes(factors),
            logvar=np.tile(np.float32([-4, -4, -4, 0]), (len(factors), 1)),
            factors=factors,
            codes_test=codes(factors_test),
            factors_test=factors_test,
            represent=metrics.CodeTable(codes(grid), dataset.grid),
            source=dataset,
            seed=seed,
            protocol="exact" if exact and METRICS[name].exact else "dlib",
            error=errors,
            values=factors.astype(np.float64),
            values_test=factors_test.astype(np.float64),
            continuous=(False,) * 3,
        )
    )


def check_against_hand(rows, names, layer, exact):
    for name in names:
        result = by_hand(name, 3, layer, exact)
        for score in METRICS[name].scores:
            row = by_name(rows, layer)[score.name]
            assert row["values"] == pytest.approx([result[score.key]], rel=1e-6), score.name
            assert row["protocol"] == result["protocol"]


def test_scores_are_those_of_the_metrics_called_by_hand(every_row):
    check_against_hand(every_row, NAMES, 1, exact=False)


def test_exact_scores_are_those_of_the_metrics_called_by_hand():
    names = [name for name in NAMES if METRICS[name].exact] + ["reconstruction_sampled"]
    options = SMALL | {"seeds": (3,), "calibrate": False, "protocol": "exact"}
    rows = evaluate(CODER, factor_images(), metrics=names, **options)
    for layer in range(2):
        check_against_hand(rows, names, layer, exact=True)
    exact = {row["metric"] for row in rows if row["protocol"] == "exact"}
    assert exact == {s.name for name in names[:-1] for s in METRICS[name].scores}


def test_exact_sums_over_the_whole_grid_and_says_where_it_cannot():
    found = by_name(
        evaluate(CODER, factor_images(), metrics=(*FAST, "factor_vae"), protocol="exact", **SMALL)
    )
    assert found["mig"]["protocol"] == "exact" and found["mig"]["num_samples"] == 60
    assert found["mig"]["low"] is None and len(found["mig"]["values"]) == 1
    assert found["mig"]["value"] == pytest.approx(1)
    assert found["factor_vae"]["protocol"] == "dlib" and len(found["factor_vae"]["values"]) == 2


def test_sampled_codes_know_less_than_means():
    names = ("mig", "kl", "reconstruction_mean")
    both = ("mean", "sampled")
    rows = evaluate(CODER, factor_images(), metrics=names, representations=both, **SMALL)
    assert by_name(rows)["mig"]["value"] > by_name(rows, 0, "sampled")["mig"]["value"] + 0.1
    assert list(by_name(rows, 0, "sampled")) == ["mig"]
    with pytest.raises(ValueError, match="without a posterior"):
        evaluate(CODER, factor_images(), metrics="kl", representations=("sampled",), **SMALL)


def test_data_without_factors_has_the_scores_that_need_none():
    counts, dataset = [], unlabelled()
    rows = evaluate(counting(counts), dataset, metrics="all", batch_size=25, **SMALL)
    chosen = resolve("all", available(dataset, decode=True))
    assert {row["metric"] for row in rows} == {s.name for n in chosen for s in METRICS[n].scores}
    assert "unsupervised" in chosen and "mig" not in chosen
    assert counts == [25, 25]  # 300 were asked for, there are 50
    found = by_name(rows)
    assert found["kl"]["num_samples"] == 50 and found["kl"]["low"] == found["kl"]["high"]
    assert found["reconstruction_mean"]["value"] < 1e-6
    assert found["mutual_info_score"]["floor"] is None
    with pytest.raises(ValueError, match="'mig' for data without factors"):
        evaluate(CODER, dataset, metrics="mig", **SMALL)
    few = evaluate(CODER, dataset, **SMALL | {"num_train": 30})
    assert by_name(few)["kl"]["num_samples"] == 30
    assert by_name(few)["kl"]["values"][0] != by_name(few)["kl"]["values"][1]


def test_an_encoder_alone_has_no_reconstruction_error():
    rows = evaluate(Coder(encode), factor_images(), **SMALL)
    assert "kl" in by_name(rows) and not any("reconstruction" in name for name in by_name(rows))


def test_the_table_shows_every_score(tmp_path):
    rows = evaluate(CODER, factor_images(), metrics=FAST, **(SMALL | {"seeds": (0,)}))
    shown = table(rows)
    assert all(row["metric"] in shown for row in rows)
    write_json(tmp_path / "scores.json", compact(rows))
    saved = json.loads((tmp_path / "scores.json").read_text())
    assert len(saved) == len(rows) and saved[0]["value"] == rows[0]["value"]
    assert compact([{"mi": np.zeros((3000, 7)), "value": 1.0}]) == [{"value": 1.0}]


def test_the_table_is_readable():
    row = {"layer": 0, "representation": "mean", "protocol": "dlib", "latent_dim": 4}
    rows = [
        row
        | {"metric": "mig", "value": 0.5, "low": 0.4, "high": 0.6, "floor": 0.0, "ceiling": 1.0}
        | {"better": "higher"},
        row | {"metric": "mig", "layer": 1, "value": 0.25},
        row | {"metric": "kl", "value": 12.0, "floor": None, "ceiling": None, "unit": "nats"},
        row | {"metric": "loss", "value": 2.0, "unit": "nats", "better": "lower"},
        row | {"metric": "beta_vae", "value": None, "note": "got one factor"},
    ]
    lines = [" ".join(line.split()) for line in table(rows).splitlines()]
    assert lines[0] == "mean codes, 4 latents"
    assert lines[2] == "metric protocol layer 0 layer 1 floor ceiling"
    assert lines[3] == "mig dlib 0.500 ±0.100 0.250 0.000 1.000 █████·····"
    assert lines[4] == "kl dlib 12.000 - - - nats"
    assert lines[5] == "loss dlib 2.000 - - - nats, less is better"
    assert lines[6] == "beta_vae dlib - - - - got one factor"


def test_a_metric_that_is_not_defined_here_says_why():
    options = SMALL | {"metrics": ("mig", "beta_vae")}
    rows = by_name(evaluate(CODER, factor_images((3, 1, 1)), **options))
    assert rows["beta_vae"]["value"] is None and "two factors" in rows["beta_vae"]["note"]
    assert rows["beta_vae"]["protocol"] == "dlib" and rows["beta_vae"]["better"] == "higher"
    assert rows["mig"]["value"] == pytest.approx(1)


def test_a_training_row_has_an_array_over_the_layers_of_each_score():
    options = SMALL | {"seeds": (5,), "calibrate": False}
    rows = evaluate(CODER, factor_images(), metrics=("cheap", "sap"), **options)
    scores = by_score(rows)
    assert {name: value.shape for name, value in scores.items()} == {
        "mig": (2,),
        "diffusion": (2,),
        "kl": (2,),
        "active_units": (2,),
        "reconstruction_sampled": (2,),
        "reconstruction_mean": (2,),
        "sap": (2,),
        "sap_continuous": (2,),
        "mi": (2, 4, 3),
        "kl_per_latent": (2, 4),
    }
    np.testing.assert_allclose(scores["kl_per_latent"].sum(1), scores["kl"])
    for layer in range(2):
        np.testing.assert_array_equal(scores["mi"][layer], by_hand("mig", 5, layer, False)["mi"])
    assert set(by_score(evaluate(CODER, unlabelled(), **options))) == {
        "kl",
        "kl_per_latent",
        "active_units",
        "reconstruction_sampled",
        "reconstruction_mean",
    }


def test_arrays_over_the_layers_read_rows_from_json_with_gaps():
    row = {"layer": 0, "protocol": "formula", "metric": "kl", "value": 2.0}
    rows = [row | {"layer": 1, "value": None}, row | {"per_latent": [2.0, None]}]
    scores = by_score(rows)
    np.testing.assert_array_equal(scores["kl"], [2.0, np.nan])
    np.testing.assert_array_equal(scores["kl_per_latent"], [[2.0, np.nan], [np.nan, np.nan]])
    mig = [
        row | {"metric": "mig", "protocol": p, "value": v} for p, v in (("exact", 1), ("dlib", 2))
    ]
    assert by_score(mig)["mig"] == by_score(mig[::-1])["mig"] == [2]


def test_what_takes_long_is_announced(capsys, monkeypatch):
    slow = METRICS["mig"]._replace(seconds=lambda n, dim, sizes: n + dim + sum(sizes))
    monkeypatch.setitem(METRICS, "mig", slow)
    evaluate(CODER, factor_images(), metrics="mig", **SMALL | {"progress": True})
    assert f"mig of 6 codes: about {6 * 316} CPU seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": "mgi"}, "did you mean 'mig'"),
        ({"protocol": "exakt"}, "did you mean 'exact'"),
        ({"representations": ("means",)}, "did you mean 'mean'"),
        ({"layers": (2,)}, "numbers from 0 to 1"),
        ({"layers": "al"}, 'expected "all"'),
        ({"seeds": ()}, "no evaluation seeds"),
        ({"metrics": []}, r"metrics=\[\].*expected one or more of each"),
        ({"representations": []}, r"representations=\[\].*expected one or more of each"),
        ({"metrics": [json.loads]}, "expected a name or a `Metric`"),
    ],
)
def test_unknown_choices_are_corrected(options, told):
    with pytest.raises(ValueError, match=told):
        evaluate(CODER, factor_images(), **(SMALL | options))


def test_intervals_are_students():
    assert interval([0.5]) == (None, None)
    low, high = interval([0.0, 1.0])
    assert (high - low) / 2 == pytest.approx(12.706 * np.sqrt(0.5) / np.sqrt(2), rel=1e-3)
