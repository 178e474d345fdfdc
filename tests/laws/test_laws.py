"""Laws that every method obeys. A new method is tested by its line in the registry."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.training.checkpoint import Checkpoints
from devae_jax.training.step import Layout
from tests.laws.registry import ALL, DEVICE, METHODS_AND_LAYERS, case

every_case = pytest.mark.parametrize("method, num_layers, likelihood", ALL)
every_model = pytest.mark.parametrize("method, num_layers", METHODS_AND_LAYERS)


def signature(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@every_case
def test_state_and_metrics_are_static(method, num_layers, likelihood):
    law = case(method, num_layers, likelihood)
    assert signature(law.start) == signature(law.state)
    first = signature(law.metrics[0])
    assert all(signature(row) == first for row in law.metrics)


@every_case
def test_numbers_are_traced(method, num_layers, likelihood):
    """Other seeds, learning rates and penalties run through the same compiled step."""
    law = case(method, num_layers, likelihood)
    other = jax.tree.map(lambda x: x + 1 if x.dtype == "uint32" else x * 1.25, law.hparams)
    _, rows = law.run(law.start, 2, other)
    assert law.traces == 1
    assert np.isfinite(rows[-1]["loss"])
    assert not np.array_equal(rows[-1]["loss"], law.metrics[1]["loss"])


@every_model
def test_one_seed_one_run(method, num_layers):
    """Bit for bit, again from the start; another seed gives other parameters and another run."""
    law = case(method, num_layers, "bernoulli")
    assert_same(law.init(law.hparams), law.start)
    state, rows = law.run(law.start, 3)
    assert_same(rows, law.metrics[:3])
    other = law.init(law.hparams | {"seed": law.hparams["seed"] + 1})
    assert differ(other.params, law.start.params)
    # Its stream alone makes the difference: batches, noise, what a method draws.
    moved, others = law.run(dataclasses.replace(law.start, key=other.key), 3)
    assert differ(others, rows)
    assert differ(moved.params, state.params)


def differ(a, b):
    return any(
        not np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@every_case
def test_losses_gradients_and_parameters_stay_finite(method, num_layers, likelihood):
    law = case(method, num_layers, likelihood)
    for row in (law.metrics[0], law.metrics[-1]):
        assert np.isfinite(row["loss"])
        assert np.isfinite(row["grad_norm"])
        assert row["grad_norm"] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(law.state.params))


@every_case
def test_training_learns(method, num_layers, likelihood):
    """What the model is told to fit, pixels or codes, fits better after a while."""
    law = case(method, num_layers, likelihood)
    _, rows = law.run(law.state, 80)
    gains = {"loss/reconstruction": -1, "information": 1}
    key = next(name for name in gains if name in rows[0])
    before = np.mean([row[key] for row in law.metrics[:10]])
    after = np.mean([row[key] for row in rows[-10:]])
    assert gains[key] * (after - before) > 0


@every_model
def test_each_player_follows_its_own_loss(method, num_layers):
    """A loss of one player alone moves no other; the one gradient gives it exactly that loss."""
    law = case(method, num_layers, "bernoulli")
    source = law.plan.program.source
    players = [player for player in law.state.params if f"{player}/loss" in law.metrics[0]]
    assert bool(players) == (len(law.state.params) > 1)

    def loss_of(params, name):
        objective = law.plan.program.objective(law.hparams, Layout())
        batch = source.take(source.arrays, jax.random.key(1), 0)
        key = jax.random.key(2)
        _, (_, metrics) = objective.loss(params, law.state.carry, batch, key, law.state.step)
        return metrics[name].sum()

    def size(tree):
        return np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(tree)))

    grads_of = jax.jit(jax.grad(loss_of), static_argnums=1)
    for player in players:
        alone, all_at_once = (
            grads_of(law.state.params, f"{player}/loss"),
            grads_of(law.state.params, "loss"),
        )
        for other in law.state.params:
            moved = size(alone[other])
            assert moved > 0 if other == player else moved == 0
        difference = jax.tree.map(jnp.subtract, alone[player], all_at_once[player])
        assert size(difference) <= 1e-5 * size(alone[player])


@every_model
def test_encodes_and_decodes_every_layer(method, num_layers):
    law = case(method, num_layers, "bernoulli")
    shape, latent_dim = law.plan.dataset.image_shape, law.config.model.latent_dim

    @jax.jit
    def both(params, carry):
        objective = law.plan.program.objective(law.hparams, Layout())
        posterior = objective.encode(params, carry, np.zeros((2, *shape)), 0)
        z = np.zeros((num_layers, latent_dim))
        return posterior, objective.logits(params, z, np.arange(num_layers))

    posterior, images = both(law.state.params, law.state.carry)
    assert posterior.mean.shape == posterior.logvar.shape == (num_layers, 2, latent_dim)
    assert images.shape == (num_layers, *shape)


@every_model
def test_save_restore_continue_equals_continue(method, num_layers, tmp_path):
    law = case(method, num_layers, "bernoulli")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(int(law.state.step), law.state, {"data": {}, "config": {}, "members": []})
    checkpoints.close()
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=DEVICE), law.state
    )
    restored = Checkpoints(tmp_path).restore(lambda meta: abstract).state
    assert_same(restored, law.state)
    assert_same(law.run(restored, 3)[0], law.run(law.state, 3)[0])
