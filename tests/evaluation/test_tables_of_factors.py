"""Scores of data whose factors are no full grid."""

import numpy as np
import pytest

from devae_jax.data.labels import table_of, with_factors
from devae_jax.evaluation.codes import draw_sample
from devae_jax.evaluation.evaluate import available, evaluate
from tests.evaluation.synthetic import CODER, unlabelled

OPTIONS = {"num_train": 200, "num_test": 100, "seeds": (0,), "progress": False}


def labelled(*, continuous):
    """150 images whose three pixels are their factors; the last is in four steps."""
    dataset = unlabelled(150)
    pixels = np.stack([dataset.read(i) for i in range(150)])[:, 0, :, 0].astype(np.float64)
    steps = np.minimum(pixels[:, 2] // 64, 3)
    values = np.stack([pixels[:, 0] / 255, pixels[:, 1] / 255, steps], 1)
    if not continuous:
        values = np.minimum(pixels // 64, 3)
    return with_factors(dataset, table_of(values, ("a", "b", "c"), "here"))


def test_discrete_factors_without_a_grid():
    dataset = labelled(continuous=False)
    assert available(dataset, decode=True) == {"posterior", "decode", "values", "factors"}
    rows = {
        row["metric"]: row
        for row in evaluate(
            CODER,
            dataset,
            metrics=("mig", "sap", "infomec", "dci_hist_boosted"),
            layers=(0,),
            **OPTIONS,
        )
    }
    assert rows["mig"]["num_samples"] == 100  # of 150: two thirds, as asked for
    # 100 images in 20 bins: the information of other pixels is overestimated by 0.2
    assert rows["mig"]["value"] > 0.6 and rows["mig"]["floor"] < 0.2 < rows["mig"]["ceiling"]
    assert rows["dci_hist_boosted_informativeness"]["value"] > 0.9
    exact = evaluate(CODER, dataset, metrics="mig", protocol="exact", layers=(0,), **OPTIONS)
    assert exact[0]["num_samples"] == 150
    with pytest.raises(ValueError, match="'factor_vae' for data without a factor grid"):
        evaluate(CODER, dataset, metrics="factor_vae", **OPTIONS)
    with pytest.raises(ValueError, match="'beta_vae' for data without a factor grid"):
        evaluate(CODER, dataset, metrics="beta_vae", **OPTIONS)


def test_continuous_factors():
    dataset = labelled(continuous=True)
    there = available(dataset, decode=False)
    assert there == {"posterior", "values", "factors", "continuous"}
    names = ("mig", "continuous")
    rows = {r["metric"]: r for r in evaluate(CODER, dataset, metrics=names, **OPTIONS)}
    assert np.shape(rows["mig"]["per_factor"]) == (1,)  # of the one discrete factor
    assert rows["mcc"]["value"] > 0.95 and rows["mcc"]["ceiling"] == pytest.approx(1)
    assert rows["r2"]["value"] > 0.95 > 0.2 > rows["r2"]["floor"]
    assert rows["mig_binned"]["factor_bins"] == 10 and rows["mig_binned"]["bins"] == 20


def test_samples_of_a_table_do_not_overlap():
    dataset = labelled(continuous=False)
    sample = draw_sample(dataset, 0, 200, 100)
    assert (len(sample.train), len(sample.test)) == (100, 50)
    assert len(np.unique(np.concatenate(sample[1:]))) == 150
    sample = draw_sample(dataset, 0, 80, 20)
    assert (len(sample.train), len(sample.test)) == (80, 20)
