"""Harder regimes: frequencies, noise, factors that do not count, images that were not seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data, rng
from devae_jax.data import regimes
from devae_jax.evaluation.codes import Coder
from devae_jax.evaluation.evaluate import evaluate
from devae_jax.runs import results
from devae_jax.types import Posterior, Shard

SAMPLES = {"num_train": 400, "num_test": 200, "seeds": (0,), "progress": False}


def test_imbalanced_factors_are_drawn_by_their_weights():
    weights = {"scale": (6, 3, 1), "shape": (1, 3), "x_position": (1.5, 0, 0, 0, 0, 0, 0, 1.5)}
    dataset = data.load("toy", imbalanced=weights)
    points = np.asarray(jax.jit(dataset.draw, static_argnums=2)((), rng.seed(0), 40_000))
    ends = [0.5, 0, 0, 0, 0, 0, 0, 0.5]
    for column, shares in enumerate([(0.25, 0.75), (0.6, 0.3, 0.1), ends, [1 / 8] * 8]):
        seen = np.bincount(points[:, column], minlength=len(shares)) / len(points)
        np.testing.assert_allclose(seen, shares, atol=0.01)  # four deviations
    assert abs(np.corrcoef(points.T) - np.eye(4)).max() < 0.02
    assert dataset.identity["imbalanced"]["scale"] == [6.0, 3.0, 1.0]
    with pytest.raises(ValueError, match="both held_out and imbalanced, expected one"):
        data.load("toy", held_out={"scale": [0]}, imbalanced=weights)


def test_noise_is_gaussian_and_the_same_on_any_number_of_devices():
    toy = data.load("toy")._replace(
        observe=lambda _, points: jnp.full((len(points), 32, 32, 1), 0.5)
    )
    plain = data.SOURCES["pairs"](toy, 8)
    source = regimes.noisy(plain, 0.1)
    take = jax.jit(source.take)
    batch = take((), rng.seed(3), 7)
    noise = (np.stack([batch["image"], batch["pair"]]) - 0.5) / 0.1
    flat = noise.reshape(16, -1)
    np.testing.assert_allclose([flat.mean(), flat.std()], [0, 1], atol=0.03)
    quantiles = np.quantile(flat, [0.05, 0.25, 0.75, 0.95])
    np.testing.assert_allclose(quantiles, [-1.645, -0.674, 0.674, 1.645], atol=0.06)
    assert abs(np.corrcoef(flat) - np.eye(16)).max() < 0.15  # of two images, and of their pairs
    beside = (
        (noise[..., :-1, 0] * noise[..., 1:, 0]).mean(),
        (noise[..., :-1, :, 0] * noise[..., 1:, :, 0]).mean(),
    )
    assert np.abs(beside).max() < 0.03
    np.testing.assert_array_equal(batch["shared"], plain.take((), rng.seed(3), 7)["shared"])
    of_device = jax.jit(lambda i: source.take((), rng.seed(3), 7, Shard(i, 4)))
    parts = [of_device(i) for i in range(4)]
    for key, leaf in batch.items():
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), leaf)
    assert (take((), rng.seed(3), 8)["image"] != batch["image"]).mean() > 0.9
    assert regimes.noisy(plain, 0.0) is plain


def coder_of(dataset):
    """An encoder that reads x and y off the images and nothing else."""
    places = (jnp.arange(16) + 0.5) / 16

    def encode(images):
        mass = images[..., 0].sum((1, 2))
        x = (images[..., 0].sum(1) * places[None]).sum(1) / mass
        y = (images[..., 0].sum(2) * places[None]).sum(1) / mass
        code = jnp.stack([10 * x, 10 * y], 1)[None]
        return Posterior(mean=code, logvar=jnp.full_like(code, -4.0))

    return Coder(encode=jax.jit(encode))


def test_metrics_do_not_count_nuisance_factors():
    names = ("mig", "factor_vae", "beta_vae")
    whole = data.load("toy")
    ignored = data.load("toy", nuisance=("shape", "scale"))
    assert data.labels_of(ignored).names == ("x_position", "y_position")
    assert data.labels_of(ignored).sizes == (8, 8) and ignored.size == whole.size
    rows = {
        dataset.nuisance: {
            row["metric"]: row
            for row in evaluate(coder_of(dataset), dataset, metrics=names, **SAMPLES)
        }
        for dataset in (whole, ignored)
    }
    all_factors, counted = rows.values()
    assert all_factors["factor_vae"]["value"] < 0.8 and counted["factor_vae"]["value"] > 0.99
    assert all_factors["mig"]["value"] < 0.6 and counted["mig"]["value"] > 0.7
    assert counted["mig"]["ceiling"] > 0.7 and counted["beta_vae"]["value"] > 0.99
    assert np.isnan(counted["factor_vae"]["per_factor"][:2]).all()
    votes = np.asarray(counted["factor_vae"]["votes_train"])
    assert votes[:, :2].sum() == 0 and (votes[:, 2:].sum(0) > 4_000).all()
    assert counted["mig"]["nuisance"] == ["shape", "scale"]
    assert "nuisance" not in all_factors["mig"]
    assert ignored.identity["nuisance"] == ["shape", "scale"]
    lobes = data.load("lobes", nuisance=("lobes",))
    assert data.labels_of(lobes).continuous.all() and data.labels_of(lobes).sizes == ()
    assert data.labels_of(lobes).of(np.arange(3)).shape == (3, 4)
    for wrong in (("shap",), ("shape", "shape"), whole.grid.names):
        with pytest.raises(ValueError, match=r"data\.nuisance=.*expected"):
            data.load("toy", nuisance=wrong)


def test_scores_of_images_that_training_did_not_see():
    held = {"shape": [1], "x_position": [5, 6, 7]}
    dataset = data.load("toy", held_out=held, nuisance=("shape",))
    unseen, seen = (regimes.part(dataset, name) for name in ("held_out", "trained"))
    assert unseen.size == 3 * 3 * 8 and seen.size == 384 - unseen.size
    assert unseen.grid.names == ("scale", "x_position", "y_position") and unseen.nuisance == ()
    images = [
        data.images_of(d, np.arange(d.size)).reshape(d.size, -1) for d in (dataset, unseen, seen)
    ]
    kinds = [set(map(bytes, pixels)) for pixels in images]
    assert kinds[1] | kinds[2] == kinds[0] and not kinds[1] & kinds[2]
    points = np.array(np.unravel_index(np.arange(384), dataset.grid.sizes)).T
    out = (points[:, 0] == 1) & (points[:, 2] >= 5)
    np.testing.assert_array_equal(images[1], images[0][out])
    np.testing.assert_array_equal(images[2], images[0][~out])
    np.testing.assert_array_equal(seen.table.values, points[~out])
    coder, rows = coder_of(dataset), {}
    for name in regimes.PARTS:
        found = evaluate(coder, dataset, metrics=["mig"], images=name, **SAMPLES)
        rows[name] = found[0]
    assert [row.get("images") for row in rows.values()] == [None, "trained", "held_out"]
    assert rows["held_out"]["value"] != rows["trained"]["value"]
    whose = {"member": None, "step": 5}
    kept = results._laid_over([whose | rows["all"]], [whose | rows["held_out"]])
    assert len(kept) == 2 and len(results._laid_over(kept, kept[1:])) == 2
    with pytest.raises(ValueError, match="images='heldout', expected one of all, trained, held"):
        evaluate(coder, dataset, metrics=["mig"], images="heldout", **SAMPLES)
    with pytest.raises(ValueError, match=r"trained on all combinations .* data\.held_out"):
        regimes.part(data.load("toy"), "held_out")
