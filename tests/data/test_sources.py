"""Batches drawn on the device: epochs without storage, shards, pairs that share factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data, rng
from devae_jax.data import factors as fg
from devae_jax.data import ondevice
from devae_jax.types import Dataset, Shard

KEY = rng.stream(rng.seed(3), "data")


def numbered(size):
    """A data set without factors whose images tell their number."""
    return Dataset(
        name="numbered",
        image_shape=(1, 1, 1),
        size=size,
        identity={},
        arrays=jnp.arange(size, dtype=jnp.float32),
        observe=lambda arrays, numbers: arrays[numbers][:, None, None, None],
    )


def bare(name="toy", **options):
    """A data set whose images are its points."""
    dataset = data.load(name, **options)
    arrays = dataset.arrays if dataset.draw is None else ((), dataset.arrays[1])
    return dataset._replace(arrays=arrays, observe=lambda arrays, points: points)


@pytest.mark.parametrize("n", [1, 2, 3, 24, 90, 4095, 4097])
def test_permute_is_a_permutation(n):
    places = jax.jit(ondevice.permute, static_argnums=2)(rng.seed(n), jnp.arange(n), n)
    np.testing.assert_array_equal(np.sort(places), np.arange(n))


def test_permute_looks_random():
    n = 4096
    permute = jax.jit(ondevice.permute, static_argnums=2)
    first, second = (np.asarray(permute(rng.seed(s), jnp.arange(n), n)) for s in (0, 1))
    for values in (np.diff(first), first - np.arange(n), first - second):
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.6
        assert len(np.unique(values)) > n / 4
    assert abs(np.corrcoef(first, np.arange(n))[0, 1]) < 0.06
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


@pytest.mark.parametrize("has_factors", [True, False])
def test_epoch_visits_every_image_once(has_factors):
    dataset = bare() if has_factors else numbered(384)
    source = data.SOURCES["ondevice"](dataset, 32, sampling="epoch")
    take = jax.jit(lambda t: source.take(source.arrays, KEY, t)["image"])
    seen = [np.asarray(take(t)) for t in range(24)]
    if has_factors:
        seen = [fg.to_index(dataset.grid, factors) for factors in seen]
    first, second = (np.concatenate(part).ravel() for part in (seen[:12], seen[12:]))
    np.testing.assert_array_equal(np.sort(first), np.arange(384))
    np.testing.assert_array_equal(np.sort(second), np.arange(384))
    assert (first != second).mean() > 0.9


def test_replacement_without_factors_is_uniform():
    source = data.SOURCES["ondevice"](numbered(60), 60)
    take = jax.jit(jax.vmap(lambda t: source.take(source.arrays, KEY, t)["image"]))
    counts = np.bincount(np.asarray(take(jnp.arange(100)), int).ravel(), minlength=60)
    assert counts.sum() == 6000
    assert ((counts - 100) ** 2 / 100).sum() < 100  # chi-square, 59 degrees: p < 1e-3


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ondevice", {"sampling": "replacement"}),
        ("ondevice", {"sampling": "epoch"}),
        ("pairs", {"changed": "any"}),
    ],
)
def test_shards_make_up_the_global_batch(kind, options):
    toy = data.load("toy", data.Request(image_size=8))
    source = data.SOURCES[kind](toy, 16, **options)
    take = jax.jit(
        lambda step, position, parts: source.take(source.arrays, KEY, step, Shard(position, parts)),
        static_argnums=2,
    )
    whole = take(7, 0, 1)
    assert whole["image"].shape == (16, 8, 8, 1)
    for parts in (2, 8):
        pieces = [take(7, i, parts) for i in range(parts)]
        for key, leaf in whole.items():
            np.testing.assert_array_equal(jnp.concatenate([p[key] for p in pieces]), leaf)
    again, later = take(7, 0, 1), take(8, 0, 1)
    for key, leaf in whole.items():
        np.testing.assert_array_equal(again[key], leaf)
        assert not (later[key] == leaf).all()


@pytest.mark.parametrize("changed", ["one", "any"])
def test_pairs_share_all_factors_but_those_drawn_anew(changed):
    toy = bare()
    source = data.SOURCES["pairs"](toy, 384, changed=changed)
    take = jax.jit(jax.vmap(lambda t: source.take(source.arrays, KEY, t)))
    batch = {k: np.asarray(v).reshape(-1, 4) for k, v in take(jnp.arange(20)).items()}
    shared, same = batch["shared"], batch["image"] == batch["pair"]
    assert set(batch) == {"image", "pair", "shared"} and shared.dtype == bool
    assert same[shared].all()
    anew = (~shared).sum(1)
    shares = np.bincount(anew, minlength=5) / len(anew)
    expected = [0, 1, 0, 0, 0] if changed == "one" else [0, 1 / 3, 1 / 3, 1 / 3, 0]
    np.testing.assert_allclose(shares, expected, atol=0.02)
    # Every factor is chosen as often, and a value drawn anew is uniform: it may be the old one.
    chance = (anew / 4).mean()
    np.testing.assert_allclose((~shared).mean(0), [chance] * 4, atol=0.02)
    for factor, size in enumerate(toy.grid.sizes):
        drawn = ~shared[:, factor]
        values = np.bincount(batch["pair"][drawn, factor], minlength=size) / drawn.sum()
        np.testing.assert_allclose(values, 1 / size, atol=0.04)
        assert abs(same[drawn, factor].mean() - 1 / size) < 0.04


def test_pairs_begin_with_the_images_of_the_training_distribution():
    toy = data.load("toy", correlated={"first": "x_position", "second": "y_position", "sigma": 0.2})
    first, alone = (data.SOURCES[kind](toy, 64) for kind in ("pairs", "ondevice"))
    batch, images = (jax.jit(s.take)(s.arrays, KEY, 5) for s in (first, alone))
    np.testing.assert_array_equal(batch["image"], images["image"])
    assert batch["pair"].shape == (64, 16, 16, 1)


def test_bad_sources():
    toy, ondevice_source, pairs = data.load("toy"), data.SOURCES["ondevice"], data.SOURCES["pairs"]
    for source in (ondevice_source, pairs):
        with pytest.raises(ValueError, match="batch_size=385, expected 1 to 384"):
            source(toy, 385)
    with pytest.raises(ValueError, match="did you mean 'epoch'"):
        ondevice_source(toy, 8, sampling="epochs")
    source = ondevice_source(toy, 6)
    with pytest.raises(ValueError, match="on 4 devices"):
        source.take(source.arrays, rng.seed(0), 0, Shard(0, 4))
    with pytest.raises(ValueError, match="did you mean 'dsprites_regen'"):
        data.load("dsprites_regn")
    with pytest.raises(ValueError, match=r"changed='two', expected one of one, any"):
        pairs(toy, 8, changed="two")
    with pytest.raises(ValueError, match=r"kind='pairs' for 'numbered', a data set without fact"):
        pairs(numbered(9), 4)
    with pytest.raises(ValueError, match=r"data\.held_out.*expected one of the two"):
        pairs(data.load("toy", held_out={"scale": [0]}), 8)
    kept = {"shape": [0], "x_position": [0], "y_position": [0]}
    with pytest.raises(ValueError, match=r"factor 'scale' alone, expected two factors"):
        pairs(data.load("toy", data.Request(factors=kept)), 2)
    with pytest.raises(ValueError, match=r"kind='stream' for 'toy', .*expected 'ondevice'"):
        data.SOURCES["stream"](toy, 8)


def test_loaders_of_the_user():
    request = data.Request(path="faces")
    seen = []
    loader = lambda request: seen.append(request) or numbered(5)  # noqa: E731
    assert data.load(loader, request).size == 5 and seen == [request]
    with pytest.raises(ValueError, match="got list from the loader"):
        data.load(lambda request: [])
    with pytest.raises(ValueError, match="neither observe nor read"):
        data.load(lambda request: numbered(5)._replace(observe=None))
    with pytest.raises(ValueError, match="size 5 with a grid of 384"):
        data.load(lambda request: numbered(5)._replace(grid=data.load("toy").grid))


@pytest.mark.parametrize("name", ["toy", "toy_rgb", "dsprites_regen", "shapes3d_like", "dsprites"])
def test_rendered_sets_refuse_a_path_and_channels(name):
    with pytest.raises(ValueError, match=rf"data\.path='x' for '{name}'.*expected none"):
        data.load(name, data.Request(path="x"))
    with pytest.raises(ValueError, match=rf"data\.channels=3 for '{name}'.*expected none"):
        data.load(name, data.Request(channels=3))
