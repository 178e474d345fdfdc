"""The factor grid: index and factors, sampling, subsets, and epochs without storage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import data, rng
from devae_jax.data import factors as fg
from devae_jax.data import ondevice
from devae_jax.types import FactorGrid, Shard

GRID = FactorGrid(("shape", "scale", "orientation"), (3, 4, 5))


def test_index_is_row_major_and_inverts():
    index = jnp.arange(fg.num_images(GRID))
    factors = fg.from_index(GRID, index)
    expected = np.stack(np.unravel_index(np.arange(60), GRID.sizes), -1)
    np.testing.assert_array_equal(factors, expected)
    np.testing.assert_array_equal(fg.to_index(GRID, factors), index)
    assert factors.dtype == fg.to_index(GRID, factors).dtype == jnp.int32


def test_sample_is_uniform():
    factors = fg.sample(GRID, rng.seed(0), 6000)
    counts = np.bincount(fg.to_index(GRID, factors), minlength=60)
    assert counts.sum() == 6000
    assert ((counts - 100) ** 2 / 100).sum() < 100  # chi-square, 59 degrees: p < 1e-3


@pytest.mark.parametrize("factor", range(3))
def test_sample_conditional_fixes_a_traced_factor(factor):
    draw = jax.jit(lambda f, v: fg.sample_conditional(GRID, rng.seed(1), 500, f, v))
    factors = np.asarray(draw(factor, 2))
    assert (factors[:, factor] == 2).all()
    for other in set(range(3)) - {factor}:
        assert len(np.unique(factors[:, other])) == GRID.sizes[other]


def test_subset_drops_factors_of_one_value():
    kept = fg.subset(GRID, {"scale": [3, 1], "shape": [2]})
    assert kept.grid == FactorGrid(("scale", "orientation"), (2, 5))
    assert [v.tolist() for v in kept.values] == [[2], [1, 3], [0, 1, 2, 3, 4]]
    assert kept.restricted == {"shape": [2], "scale": [1, 3]}
    assert fg.subset(GRID, {"shape": [0, 1, 2]}).restricted == {}


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"shap": [0]}, "did you mean 'shape'"),
        ({"shape": [3]}, "from 0 to 2"),
        ({"shape": [-1]}, "from 0 to 2"),
        ({"shape": []}, "from 0 to 2"),
        ({"shape": [0.5]}, "from 0 to 2"),
        ({"shape": [True]}, "from 0 to 2"),
        ({"shape": [1, 1]}, "each once"),
        ({"shape": [0], "scale": [0], "orientation": [0]}, "at least one factor"),
    ],
)
def test_bad_subsets(factors, message):
    with pytest.raises(ValueError, match=message):
        fg.subset(GRID, factors)


@pytest.mark.parametrize("n", [1, 2, 3, 24, 90, 4095, 4097])
def test_permute_is_a_permutation(n):
    places = jax.jit(ondevice.permute, static_argnums=2)(rng.seed(n), jnp.arange(n), n)
    np.testing.assert_array_equal(np.sort(places), np.arange(n))


def test_permute_looks_random():
    n = 4096
    first, second = (np.asarray(ondevice.permute(rng.seed(s), jnp.arange(n), n)) for s in (0, 1))
    for values in (np.diff(first), first - np.arange(n), first - second):
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.6
        assert len(np.unique(values)) > n / 4
    assert abs(np.corrcoef(first, np.arange(n))[0, 1]) < 0.06
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


def test_epoch_visits_every_image_once():
    toy = data.load("toy")._replace(observe=lambda arrays, factors: factors)
    source = data.source(toy, 32, "epoch")
    key = rng.stream(rng.seed(3), "data")
    take = jax.jit(source.take)
    batches = [fg.to_index(toy.grid, take(source.arrays, key, t)) for t in range(24)]
    first, second = np.concatenate(batches[:12]), np.concatenate(batches[12:])
    np.testing.assert_array_equal(np.sort(first), np.arange(384))
    np.testing.assert_array_equal(np.sort(second), np.arange(384))
    assert (first != second).mean() > 0.9


@pytest.mark.parametrize("sampling", ["replacement", "epoch"])
def test_shards_make_up_the_global_batch(sampling):
    source = data.source(data.load("toy", image_size=8), 16, sampling)
    key = rng.stream(rng.seed(0), "data")
    take = jax.jit(
        lambda step, index, count: source.take(source.arrays, key, step, Shard(index, count)),
        static_argnums=2,
    )
    whole = take(7, 0, 1)
    assert whole.shape == (16, 8, 8, 1)
    for count in (2, 8):
        parts = jnp.concatenate([take(7, i, count) for i in range(count)])
        np.testing.assert_array_equal(parts, whole)
    assert not (whole == take(8, 0, 1)).all()


def test_bad_sources():
    toy = data.load("toy")
    with pytest.raises(ValueError, match="batch_size=385, expected 1 to 384"):
        data.source(toy, 385)
    with pytest.raises(ValueError, match="did you mean 'epoch'"):
        data.source(toy, 8, "epochs")
    source = data.source(toy, 6)
    with pytest.raises(ValueError, match="on 4 devices"):
        source.take(source.arrays, rng.seed(0), 0, Shard(0, 4))
    with pytest.raises(ValueError, match="did you mean 'dsprites_regen'"):
        data.load("dsprites_regn")
