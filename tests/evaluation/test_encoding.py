"""Which images are encoded and decoded, how often, in which order."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import metrics
from devae_jax.evaluation.codes import Coder, DivergedError, draw_sample, represent
from devae_jax.evaluation.evaluate import evaluate
from devae_jax.types import Posterior
from tests.evaluation.synthetic import (
    CODER,
    SIZES,
    SMALL,
    by_name,
    counting,
    encode,
    factor_images,
    logits,
    unlabelled,
)


@pytest.mark.parametrize("names", ["cheap", ("mig", "factor_vae", "beta_vae", "sap")])
def test_each_image_is_encoded_once(names):
    counts, dataset = [], factor_images()
    representations = ("mean", "sampled")
    evaluate(
        counting(counts),
        dataset,
        metrics=names,
        representations=representations,
        batch_size=20,
        **SMALL,
    )
    assert counts == [20, 20, 20]


def test_the_test_sample_is_encoded_where_a_metric_looks_at_it():
    dataset, options = factor_images(), SMALL | {"num_train": 20, "num_test": 20, "seeds": (0,)}
    sample = draw_sample(dataset, 0, 20, 20)
    alone, both = len(np.unique(sample.train)), len(np.unique(np.concatenate(sample[1:])))
    assert alone < both < dataset.size
    rows = {}
    for names, expected in (("cheap", alone), (("cheap", "sap"), both)):
        counts = []
        rows[expected] = evaluate(counting(counts), dataset, metrics=names, batch_size=1, **options)
        assert counts == [1] * expected
    left = [row for row in rows[both] if not row["metric"].startswith("sap")]
    assert json.dumps(rows[alone], default=np.ndarray.tolist) == json.dumps(
        left, default=np.ndarray.tolist
    )


def test_noise_of_sampled_codes_does_not_depend_on_the_metrics():
    options = SMALL | {"num_train": 20, "num_test": 20, "representations": ("mean", "sampled")}
    few, more = (
        by_name(evaluate(CODER, factor_images(), metrics=names, **options), 0, "sampled")
        for names in ("mig", ("mig", "sap"))
    )
    assert few["mig"]["values"] == more["mig"]["values"]


def test_votes_encode_on_the_fly_where_the_grid_is_too_large(monkeypatch):
    names = ("factor_vae", "beta_vae")
    whole = by_name(evaluate(CODER, factor_images(), metrics=names, **SMALL))
    monkeypatch.setattr("devae_jax.evaluation.evaluate._BYTES", 10)
    counts = []
    options = SMALL | {"num_train": 20, "num_test": 20, "calibrate": False}
    rows = evaluate(counting(counts), factor_images(), metrics=names, **options)
    assert sum(counts) > 60
    assert by_name(rows)["factor_vae"]["values"] == whole["factor_vae"]["values"]
    assert by_name(rows)["beta_vae"]["values"] == whole["beta_vae"]["values"]
    with pytest.raises(ValueError, match='use protocol="dlib"'):
        evaluate(CODER, factor_images(), protocol="exact", **SMALL)


def test_codes_come_in_the_order_of_the_numbers_asked_for():
    for dataset in (factor_images(), unlabelled()):
        numbers = np.array([7, 3, 3, 41])
        posterior = represent(CODER, dataset, numbers, batch_size=3)
        assert posterior.mean.shape == (2, 4, 4)
        one = represent(CODER, dataset, np.array([41]))
        np.testing.assert_array_equal(posterior.mean[:, 3], one.mean[:, 0])
        np.testing.assert_array_equal(posterior.mean[:, 1], posterior.mean[:, 2])


@pytest.mark.parametrize("dataset", [factor_images(), unlabelled()], ids=lambda d: d.name)
def test_reconstruction_errors_of_each_layer_are_in_the_order_of_the_sample(dataset):
    """Layer 1 decodes codes that are half as large; batches are cut and filled up."""
    seen = []

    def spy(z, layer):
        seen.append(len(z))
        return logits(z, 1 - layer)  # the wrong layer, so that there are errors

    coder = CODER._replace(logits=spy)
    options = SMALL | {"num_train": 50, "seeds": (0,), "batch_size": 16}
    rows = evaluate(coder, dataset, metrics="reconstruction_mean", **options)
    assert seen == [16] * 8
    shown = [by_name(rows, layer)["reconstruction_mean"]["value"] for layer in range(2)]
    if dataset.grid is None:
        numbers = np.random.RandomState(0).permutation(50)
        pixels = np.stack([dataset.read(i) for i in numbers])[:, 0, :, 0] / 255
    else:
        rng = np.random.RandomState(0)
        pixels = metrics.sample_factors(rng, dataset.grid.sizes, 50) / SIZES
    for layer, scale in enumerate((2.0, 0.5)):
        wrong = np.clip(pixels * scale, 1e-4, 1 - 1e-4)
        expected = np.square(pixels - wrong).sum(1).mean()
        assert shown[layer] == pytest.approx(expected, rel=1e-4)


def test_an_encoder_that_diverged_is_an_error():
    def diverged(images):
        posterior = encode(images)
        return Posterior(mean=posterior.mean.at[:, :, 1].set(jnp.nan), logvar=posterior.logvar)

    with pytest.raises(DivergedError, match=r"NaN or Inf in latents \[1\]"):
        evaluate(Coder(diverged), factor_images(), **SMALL)
