"""Rows of images along each factor."""

import numpy as np

from devae_jax import data
from devae_jax.data.labels import Labels, table_of
from devae_jax.data.traversals import traversals
from tests.launch.commands import call


def test_on_a_grid_the_other_factors_are_held():
    toy = data.load("toy")
    known = data.labels_of(toy)
    numbers = traversals(known, toy.size, steps=5)
    assert numbers.shape == (4, 5)
    for column, row in enumerate(numbers):
        values = known.of(row)
        assert (np.delete(values, column, 1) == np.delete(values, column, 1)[0]).all()
        last = toy.grid.sizes[column] - 1
        assert values[0, column] == 0 and values[-1, column] == last
        assert (np.diff(values[:, column]) >= 0).all()
        assert len(set(values[:, column])) == min(5, last + 1)


def test_in_a_table_the_others_are_as_near_as_can_be():
    rng = np.random.RandomState(1)
    values = np.stack([rng.uniform(size=3000), rng.randint(0, 3, 3000), rng.uniform(size=3000)], 1)
    table = table_of(values, ("a", "b", "c"), "here")
    known = Labels(table.names, np.array(table.continuous), np.arange(3), table=table)
    numbers = traversals(known, 3000, steps=6)
    base = values[np.random.RandomState(0).randint(3000, size=1)[0]]
    for column, row in enumerate(numbers):
        along = values[row, column]
        assert (np.diff(along) >= 0).all() and len(set(along)) == (3 if column == 1 else 6)
        off = np.abs(np.delete(values[row] - base, column, 1))
        assert off.max() < 0.15  # 500 images, or 1,000, to choose from


def test_visualize_draws_a_data_set(tmp_path):
    text = call("visualize", "--data=toy", f"--out={tmp_path}")
    assert {path.name for path in tmp_path.iterdir()} == {"data_toy.png", "data_toy_factors.png"}
    assert str(tmp_path / "data_toy.png") in text
    for arguments in ((), ("--data=toy", f"--workdir={tmp_path}")):
        assert "neither or both of --workdir and --data" in call("visualize", *arguments, code=2)
