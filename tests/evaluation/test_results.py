"""What a run shows: scores.json and figures, of images that are encoded once."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from devae_jax.evaluation.codes import Coder
from devae_jax.runs.folder import Folder
from devae_jax.runs.results import draw, score, score_members
from devae_jax.types import Posterior
from tests.evaluation.synthetic import CODER, counting, encode, factor_images, logits, unlabelled

FEW = {"num_train": 300, "num_test": 200, "seeds": (0,), "progress": False}


def run_in(path, coder=CODER, dataset=None, **options):
    """What `runs.run.Run` is to its results."""
    config = ConfigDict(
        {
            "method": "vae",
            "seed": 1,
            "steps": 10,
            "model": {"latent_dim": 4},
            "objective": {"name": "elbo"},
            "train": {"log_every": 1},
        }
    )

    def decode(z, layer):
        return jax.nn.sigmoid(logits(jnp.asarray(z), jnp.full(len(z), layer)))

    given = {
        "config": config,
        "dataset": dataset or factor_images(),
        "step": 10,
        "member": None,
        "folder": Folder(path),
        "layer_labels": ["β=1", "β=10"],
        "coder": coder,
        "precision": "tensorfloat32",
        "encode": coder.encode,
        "decode": decode,
        "method": config.method,
    }
    return SimpleNamespace(**given | options)


def test_rows_say_whose_they_are_and_replace_those_that_measure_the_same(tmp_path):
    run = run_in(tmp_path)
    rows = score(run, metrics="mig", **FEW)
    assert rows[0]["settings"] == {
        "steps": 10,
        "model": {"latent_dim": 4},
        "objective": {"name": "elbo"},
    }
    named = {"run": tmp_path.name, "member": None, "step": 10, "method": "vae", "seed": 1}
    named |= {"matmul_precision": "tensorfloat32", "data": {"name": "factors"}}
    assert rows[0].items() >= named.items()
    score(run, metrics=("mig", "kl"), **FEW | {"num_train": 250})
    score(run, metrics="mig", protocol="exact", **FEW)
    score(run_in(tmp_path, step=20, member=1), metrics="mig", layers=(1,), **FEW)
    saved = json.loads((tmp_path / "scores.json").read_text())
    places = [(r["step"], r["member"], r["layer"], r["metric"], r["protocol"]) for r in saved]
    assert sorted(places, key=str) == sorted(
        [(10, None, i, m, p) for i in (0, 1) for m, p in (("mig", "dlib"), ("kl", "formula"))]
        + [(10, None, i, "mig", "exact") for i in (0, 1)]
        + [(20, 1, 1, "mig", "dlib")],
        key=str,
    )
    assert {r["num_samples"] for r in saved if r["step"] == 10} == {250, 60}
    assert score(run_in(tmp_path, folder=None), metrics="kl", **FEW)[0]["run"] is None


def test_figures_and_scores_of_one_call_encode_each_image_once(tmp_path):
    counts = []
    run = run_in(tmp_path, counting(counts))
    rows = score(run, **FEW)
    assert counts == [60]
    paths = draw(run, rows)
    assert counts == [60, 10]  # and the ten images that are reconstructed
    draw(run)  # from scores.json
    assert counts == [60, 10, 10]
    (tmp_path / "scores.json").unlink()
    draw(run)
    assert counts == [60, 10, 10, 60, 10] and not (tmp_path / "scores.json").exists()
    assert {path.parent for path in paths.values()} == {tmp_path / "figures"}
    assert {"mutual_information.png", "scores.png"} <= set(paths)


def test_figures_show_what_the_rows_say(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "devae_jax.runs.results.draw_all", lambda folder, **given: drawn.append(given) or {}
    )
    run = run_in(tmp_path)
    rows = score(run, **FEW)
    score(run_in(tmp_path, step=20), **FEW)
    score(run, metrics="mig", protocol="exact", **FEW)
    draw(run, rows)
    draw(run)
    mig, kl = ([row for row in rows if row["metric"] == name] for name in ("mig", "kl"))
    for given in drawn:
        np.testing.assert_allclose(given["mi"], mig[0]["mi"])
        np.testing.assert_allclose(given["kl"], [row["per_latent"] for row in kl])
        assert {row["step"] for row in given["scores"]} == {10}
        assert {row["protocol"] for row in given["scores"]} >= {"dlib", "exact"}
        assert given["images"].shape == (64, 1, 3, 1)


def test_rows_that_lack_a_layer_are_not_enough_for_figures(tmp_path):
    counts = []
    run = run_in(tmp_path, counting(counts))
    rows = score(run, layers=(1,), **FEW)
    draw(run, rows)
    assert counts == [60, 60, 10]


def test_a_data_set_without_factors_is_scored_and_drawn(tmp_path):
    run = run_in(tmp_path, dataset=unlabelled(), member=2)
    rows = score(run, **FEW)
    assert {row["metric"] for row in rows} == {
        "kl",
        "active_units",
        "reconstruction_sampled",
        "reconstruction_mean",
    }
    paths = draw(run, rows)
    assert paths["report.html"].parent == tmp_path / "figures" / "member_2"
    assert {"reconstructions.png", "traversals_layer1.gif", "samples.png"} <= set(paths)
    assert not {"mutual_information.png", "scores.png"} & set(paths)
    page = paths["report.html"].read_text()
    assert page.count("has no factors") == 1 and "Active units" in page


def test_a_member_that_diverged_is_passed_over_and_a_mistake_is_not(tmp_path, capsys):
    def diverged(images):
        posterior = encode(images)
        return Posterior(mean=posterior.mean + jnp.nan, logvar=posterior.logvar)

    runs = [run_in(tmp_path, Coder(diverged), member=0), run_in(tmp_path, member=1)]
    rows = score_members(runs, metrics="mig", **FEW)
    assert {row["member"] for row in rows} == {1}
    assert "member 0 was not scored: got NaN" in capsys.readouterr().err
    with pytest.raises(ValueError, match="did you mean 'mig'"):
        score_members(runs, metrics="mgi", **FEW)


def test_a_run_that_lies_nowhere_has_no_figures(tmp_path):
    with pytest.raises(ValueError, match="without a folder"):
        draw(run_in(tmp_path, folder=None))
