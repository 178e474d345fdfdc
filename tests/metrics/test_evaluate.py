"""One evaluation: encode once, share the codes, calibrate, write."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data, evaluate, metrics
from devae_jax.data import factors as fg
from devae_jax.metrics.registry import METRICS
from devae_jax.scores import interval
from devae_jax.types import Dataset, FactorGrid, Posterior

FAST = ("mig", "modularity", "irs", "unsupervised", "kl", "active_units", "diffusion")
SMALL = {"num_train": 300, "num_test": 200, "seeds": (0, 1), "progress": False}


def factor_images():
    """A data set whose images show their factors as pixels: encoders can be formulas."""
    grid = FactorGrid(("a", "b", "c"), (3, 4, 5))

    def observe(arrays, factors):
        return factors[:, None, :, None] / jnp.array([3.0, 4.0, 5.0])[None, None, :, None]

    return Dataset("factors", grid, (1, 3, 1), None, observe, {"name": "factors"})


def encoder(counted=None):
    """Two layers: the factors themselves, and half of them, with one dead latent."""

    @jax.jit
    def encode(images):
        mean = images[:, 0, :, 0]
        mean = jnp.concatenate([mean, jnp.zeros((len(mean), 1))], axis=1)
        logvar = jnp.full(mean.shape, -4.0).at[:, 3].set(0.0)
        return Posterior(mean=jnp.stack([mean, mean / 2]), logvar=jnp.stack([logvar, logvar]))

    def spy(images):
        if counted is not None and not isinstance(images, jax.core.Tracer):
            counted.append(len(images))
        return encode(images)

    return spy


def decode(z, layer):
    """Logits whose sigmoid is the pixel, from codes of either layer."""
    pixels = z[:, :3] * jnp.where(layer == 0, 1.0, 2.0)[:, None]
    pixels = jnp.clip(pixels, 1e-4, 1 - 1e-4)
    return (jnp.log(pixels) - jnp.log1p(-pixels))[:, None, :, None]


def by_name(rows, layer=0, representation="mean"):
    return {
        row["metric"]: row
        for row in rows
        if (row["layer"], row["representation"]) == (layer, representation)
    }


def test_rows_hold_scores_bounds_intervals_and_matrices():
    rows = evaluate.evaluate(
        encoder(),
        factor_images(),
        decode=decode,
        likelihood="squared_error",
        metrics=FAST,
        layers="all",
        num_decoded=50,
        **SMALL,
    )
    first, second = by_name(rows, 0), by_name(rows, 1)
    assert first["mig"]["value"] == pytest.approx(second["mig"]["value"])  # free of scale
    assert first["kl"]["value"] > second["kl"]["value"]
    assert first["reconstruction"]["value"] < 1e-4 and second["reconstruction"]["value"] < 1e-4
    assert first["active_units"]["value"] == 3
    mig = first["mig"]
    assert mig["floor"] < 0.1 and mig["value"] > 0.95
    assert 0.5 < mig["ceiling"] < mig["value"]  # its dead latent tells 60 images apart
    assert mig["low"] <= mig["value"] <= mig["high"] and len(mig["values"]) == 2
    assert np.shape(mig["mi"]) == (4, 3) and len(mig["per_factor"]) == 3
    assert mig["num_samples"] == 300 and mig["protocol"] == "dlib" and mig["latent_dim"] == 4
    assert first["kl"]["floor"] is None and len(first["kl"]["per_latent"]) == 4
    assert (mig["better"], first["diffusion"]["better"]) == ("higher", "lower")
    assert first["kl"]["better"] is None


def test_scores_are_those_of_the_metrics_on_the_published_sample():
    dataset = factor_images()
    rows = by_name(evaluate.evaluate(encoder(), dataset, metrics=("mig", "sap"), **SMALL))
    rng, sizes = np.random.RandomState(0), dataset.grid.sizes
    train, test = metrics.sample_factors(rng, sizes, 300), metrics.sample_factors(rng, sizes, 200)
    codes, codes_test = (
        np.insert(f / np.array([3.0, 4.0, 5.0]), 3, 0, axis=1).astype(np.float32)
        for f in (train, test)
    )
    assert rows["mig"]["values"][0] == metrics.mig(codes, train)["mig"]
    assert rows["sap"]["values"][0] == metrics.sap(codes, train, codes_test, test)["sap"]


@pytest.mark.parametrize("names", ["cheap", ("mig", "factor_vae", "beta_vae", "sap")])
def test_each_image_is_encoded_once(names):
    counted, dataset = [], factor_images()
    evaluate.evaluate(
        encoder(counted), dataset, metrics=names, batch_size=20, layers="all", **SMALL
    )
    assert sum(counted) == fg.num_images(dataset.grid)


def test_votes_encode_on_the_fly_where_the_grid_is_too_large(monkeypatch):
    names = ("factor_vae", "beta_vae")
    whole = by_name(evaluate.evaluate(encoder(), factor_images(), metrics=names, **SMALL))
    monkeypatch.setattr("devae_jax.views._BYTES", 10)
    counted = []
    options = SMALL | {"num_train": 20, "num_test": 20, "calibrate": False}
    rows = evaluate.evaluate(encoder(counted), factor_images(), metrics=names, **options)
    assert sum(counted) > 60
    assert by_name(rows)["factor_vae"]["values"] == whole["factor_vae"]["values"]
    assert by_name(rows)["beta_vae"]["values"] == whole["beta_vae"]["values"]
    with pytest.raises(ValueError, match='use protocol="dlib"'):
        evaluate.evaluate(encoder(), factor_images(), protocol="exact", **SMALL)


def test_exact_sums_over_the_whole_grid_and_says_where_it_cannot():
    rows = evaluate.evaluate(
        encoder(), factor_images(), metrics=(*FAST, "factor_vae"), protocol="exact", **SMALL
    )
    found = by_name(rows)
    assert found["mig"]["protocol"] == "exact" and found["mig"]["num_samples"] == 60
    assert found["mig"]["low"] is None and len(found["mig"]["values"]) == 1
    assert found["mig"]["value"] == pytest.approx(1)
    assert found["factor_vae"]["protocol"] == "dlib" and len(found["factor_vae"]["values"]) == 2


def test_sampled_codes_know_less_than_means():
    rows = evaluate.evaluate(
        encoder(),
        factor_images(),
        metrics=("mig", "kl", "active_units"),
        representations=("mean", "sampled"),
        **SMALL,
    )
    assert by_name(rows)["mig"]["value"] > by_name(rows, 0, "sampled")["mig"]["value"] + 0.1
    assert "kl" not in by_name(rows, 0, "sampled")


def test_every_metric_runs_by_name_and_the_table_shows_it(tmp_path):
    names = [name for name in METRICS if "dci" not in name]
    rows = evaluate.evaluate(encoder(), factor_images(), metrics=names, **(SMALL | {"seeds": (0,)}))
    shown = evaluate.table(rows)
    for name in names:
        scores = METRICS[name].scores
        assert set(scores) <= set(by_name(rows)), name
        assert all(score in shown for score in scores)
    evaluate.write_scores(tmp_path / "scores.json", rows)
    saved = json.loads((tmp_path / "scores.json").read_text())
    assert len(saved) == len(rows) and saved[0]["value"] == rows[0]["value"]


def test_the_table_is_readable():
    row = {"layer": 0, "representation": "mean", "protocol": "dlib", "latent_dim": 4}
    rows = [
        row
        | {"metric": "mig", "value": 0.5, "low": 0.4, "high": 0.6, "floor": 0.0, "ceiling": 1.0}
        | {"better": "higher"},
        row | {"metric": "mig", "layer": 1, "value": 0.25},
        row | {"metric": "kl", "value": 12.0, "floor": None, "ceiling": None, "better": None},
        row | {"metric": "beta_vae", "value": None, "note": "got one factor"},
    ]
    lines = [" ".join(line.split()) for line in evaluate.table(rows).splitlines()]
    assert lines[0] == "mean codes, 4 latents"
    assert lines[2] == "metric protocol layer 0 layer 1 floor ceiling"
    assert lines[3] == "mig dlib 0.500 ±0.100 0.250 0.000 1.000 █████·····"
    assert lines[4] == "kl dlib 12.000 - - -"
    assert lines[5] == "beta_vae dlib - - - - got one factor"


def test_a_metric_that_is_not_defined_here_says_why():
    grid = FactorGrid(("a", "b", "c"), (3, 1, 1))
    dataset = factor_images()._replace(grid=grid)
    rows = by_name(evaluate.evaluate(encoder(), dataset, metrics=("mig", "beta_vae"), **SMALL))
    assert rows["beta_vae"]["value"] is None and "two factors" in rows["beta_vae"]["note"]
    assert rows["mig"]["value"] == pytest.approx(1)


def test_cheap_scores_during_training():
    dataset = data.load("toy")
    size = dataset.image_shape[0] * dataset.image_shape[1]
    weights = jax.random.normal(jax.random.key(0), (size, 5))

    @jax.jit
    def encode(images):
        mean = images.reshape(len(images), -1) @ weights
        return Posterior(mean=jnp.stack([mean, 2 * mean]), logvar=jnp.zeros((2, *mean.shape)))

    def blank(z, layer):
        return jnp.zeros((len(z), *dataset.image_shape))

    scores = evaluate.cheap(encode, blank, dataset, 0, n=500, num_decoded=50)
    assert {name: value.shape for name, value in scores.items()} == {
        "mig": (2,),
        "mi": (2, 5, 4),
        "diffusion": (2,),
        "kl": (2,),
        "kl_per_latent": (2, 5),
        "active_units": (2,),
        "reconstruction": (2,),
    }
    np.testing.assert_allclose(scores["mi"][0], scores["mi"][1])
    np.testing.assert_allclose(scores["reconstruction"], size * np.log(2), rtol=1e-5)
    np.testing.assert_allclose(scores["kl_per_latent"].sum(1), scores["kl"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": "mgi"}, "did you mean 'mig'"),
        ({"protocol": "exakt"}, "did you mean 'exact'"),
        ({"representations": ("means",)}, "did you mean 'mean'"),
        ({"layers": (2,)}, "numbers from 0 to 1"),
        ({"layers": "al"}, 'expected "all"'),
        ({"decode": decode, "likelihood": "bernouli"}, "did you mean 'bernoulli'"),
    ],
)
def test_unknown_choices_are_corrected(options, told):
    with pytest.raises(ValueError, match=told):
        evaluate.evaluate(encoder(), factor_images(), **(SMALL | options))


def test_an_encoder_that_diverged_is_an_error():
    def encode(images):
        posterior = encoder()(images)
        return Posterior(mean=posterior.mean.at[:, :, 1].set(jnp.nan), logvar=posterior.logvar)

    with pytest.raises(ValueError, match=r"NaN or Inf in latents \[1\]"):
        evaluate.evaluate(encode, factor_images(), **SMALL)


def test_intervals_are_students():
    assert interval([0.5]) == (None, None)
    low, high = interval([0.0, 1.0])
    assert (high - low) / 2 == pytest.approx(12.706 * np.sqrt(0.5) / np.sqrt(2), rel=1e-3)
