"""The factor grid: index and factors, sampling, subsets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import rng
from devae_jax.data import factors as fg
from devae_jax.types import FactorGrid

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
