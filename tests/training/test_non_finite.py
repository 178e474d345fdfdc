"""NaN and infinities in data, loss, gradient and controller: stop, or skip the step and count."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.program import plan as programs
from devae_jax.training import loop
from devae_jax.training import step as training
from tests.laws.registry import config_of

pytestmark = pytest.mark.xdist_group("non_finite")  # what its tests share is made once

BAD = {2: np.nan, 4: np.inf}  # step -> a pixel


@pytest.fixture(scope="module")
def run():
    """A controlled run whose images have a bad pixel at two steps: (states, metrics [6])."""
    config = config_of("dynamic_vae")
    config.model.encoder = config.model.decoder = "mlp"
    config.train.non_finite = "skip"
    plan = programs.plan(config)
    good = plan.program.source.take

    def take(arrays, key, step, shard):
        batch = good(arrays, key, step, shard)
        images = batch["image"]
        for bad, pixel in BAD.items():
            spoilt = images.at[0, 0, 0, 0].set(pixel)
            images = jnp.where(step == bad, spoilt, images)
        return batch | {"image": images}

    program = plan.program._replace(source=plan.program.source._replace(take=take))
    step = jax.jit(functools.partial(training.train_step, program))
    states = [jax.jit(functools.partial(training.init, program))(plan.hparams)]
    rows = []
    for _ in range(6):
        state, metrics = step(plan.hparams, states[-1], program.source.arrays)
        states.append(state)
        rows.append(metrics)
    return states, jax.tree.map(lambda *x: np.stack(x), *rows)


def test_a_bad_step_changes_nothing_and_is_counted(run):
    states, metrics = run
    assert metrics["skipped"].tolist() == [0, 0, 1, 0, 1, 0]
    assert [int(state.step) for state in states] == list(range(7))
    for number, (before, after) in enumerate(itertools.pairwise(states)):
        parts = [(state.params, state.carry, state.opt_state) for state in (before, after)]
        same = [
            np.array_equal(x, y)
            for x, y in zip(jax.tree.leaves(parts[0]), jax.tree.leaves(parts[1]), strict=True)
        ]
        assert all(same) == (number in BAD)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(states[-1].params))
    assert set(states[-1].carry) == {"kl"}  # the controller's
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(states[-1].carry))


def test_rows_hold_the_means_of_the_good_steps(run):
    _, metrics = run
    row = loop.window_mean(metrics)
    assert row["skipped"] == np.float32(2 / 6)
    assert row["loss"] == np.delete(metrics["loss"], list(BAD)).mean(dtype=np.float64).astype("f4")


def test_a_run_stops_where_no_step_of_a_window_is_good(run):
    _, metrics = run
    loop.check_finite(metrics, 0)
    bad = jax.tree.map(lambda x: x[[2, 4]], metrics)
    with pytest.raises(loop.NonFiniteError, match="step 100"):
        loop.check_finite(bad, 100)


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_step_stops_by_default(name, value):
    metrics = {"loss": np.ones(4), "grad_norm": np.ones(4), "loss/kl": np.ones(4)}
    loop.check_finite(metrics, 0)
    metrics[name][2] = value
    with pytest.raises(loop.NonFiniteError, match="non-finite loss at step 12"):
        loop.check_finite(metrics, 10)


def test_what_to_do_is_a_known_word():
    config = config_of("vae")
    config.train.non_finite = "skp"
    with pytest.raises(ValueError, match=r"train\.non_finite.*did you mean 'skip'"):
        programs.plan(config)
