"""Optimisers of several players: rates of the run's step, groups that rest."""

import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.training import optim

PARAMS = {"generator": jnp.ones(3), "critic": jnp.ones(3)}
GRADS = {"generator": jnp.full(3, 2.0), "critic": jnp.full(3, -2.0)}


def train(steps, moves, players=(), **default):
    """Updates of every step; the generator moves where `moves(step)`."""
    settings = {"learning_rate": 0.1, "b1": 0.0, "b2": 0.0} | default
    state, updates = None, []
    for step in range(steps):
        mask = {"generator": jnp.float32(moves(step)), "critic": 1.0}
        optimizer = optim.optimizer(mask, step, settings, dict(players))
        state = optimizer.init(PARAMS) if state is None else state
        update, state = optimizer.update(GRADS, state, PARAMS)
        updates.append(update)
    return updates


def test_the_rate_of_a_resting_player_goes_on():
    """Both players are at the same place of the cosine, however often one of them rested."""
    updates = train(10, lambda step: step % 5 == 4, decay_steps=10.0)
    for step, update in enumerate(updates):
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * step / 10))
        np.testing.assert_allclose(update["critic"], rate, rtol=1e-4)
        np.testing.assert_allclose(update["generator"], -rate if step % 5 == 4 else 0.0, rtol=1e-4)


def test_warm_up_rises_along_a_line():
    updates = train(4, lambda step: True, warmup_steps=4.0)
    rates = [float(update["critic"][0]) for update in updates]
    np.testing.assert_allclose(rates, [0.025, 0.05, 0.075, 0.1], rtol=1e-4)


@pytest.mark.parametrize("rest", [1, 3])
def test_a_frozen_group_neither_moves_nor_forgets(rest):
    """Rests leave the moments alone: the moves are those of a run without them."""
    pattern = [True, *[False] * rest, True, True]
    updates = train(len(pattern), pattern.__getitem__, b1=0.9, b2=0.99)
    alone = train(3, lambda step: True, b1=0.9, b2=0.99)
    moved = [u["generator"] for u, moves in zip(updates, pattern, strict=True) if moves]
    assert not any(u["generator"].any() for u, m in zip(updates, pattern, strict=True) if not m)
    for a, b in zip(moved, alone, strict=True):
        np.testing.assert_allclose(a, b["generator"], rtol=1e-6)


def test_players_have_their_own_numbers():
    players = {"critic": {"learning_rate": 0.3}}
    (update,) = train(1, lambda step: True, players=players.items())
    np.testing.assert_allclose(update["critic"], 0.3, rtol=1e-4)
    np.testing.assert_allclose(update["generator"], -0.1, rtol=1e-4)
