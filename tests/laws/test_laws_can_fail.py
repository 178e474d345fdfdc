"""Each law, broken on purpose: a law that nothing can break says nothing."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.program import plan as programs
from tests.laws import test_laws, test_parallel
from tests.laws.registry import Case, config_of

METHOD = "factor_vae"  # state in several parts, two players, statistics of a batch


def with_loss(change):
    """A program whose loss is `change(loss)`."""

    def changed(program):
        def objective(hparams, layout):
            made = program.objective(hparams, layout)
            return made._replace(loss=change(made.loss))

        return program._replace(objective=objective)

    return changed


def growing_state(loss):
    def changed(params, carry, batch, key, step):
        value, (carry, metrics) = loss(params, carry, batch, key, step)
        return value, (carry | {"added": step}, metrics)

    return changed


def scaled(factor):
    def change(loss):
        def changed(*args):
            value, aux = loss(*args)
            return factor * value, aux

        return changed

    return change


def reported(factor):
    def change(loss):
        def changed(*args):
            value, (carry, metrics) = loss(*args)
            return value, (carry, metrics | {"loss": factor * metrics["loss"]})

        return changed

    return change


def leaking(loss):
    """The discriminator's own loss also moves the model."""

    def changed(params, carry, batch, key, step):
        value, (carry, metrics) = loss(params, carry, batch, key, step)
        own = metrics["discriminator/loss"] + 1e-3 * metrics["kl"]
        return value, (carry, metrics | {"discriminator/loss": own})

    return changed


def numbers_of_the_start(program):
    """Every number is a constant of the compiled program."""
    fixed = programs.plan(config_of(METHOD)).hparams

    def take(arrays, key, step, *shard):
        return program.source.take(arrays, jax.random.key(0), step, *shard)

    return program._replace(
        objective=lambda hparams, layout: program.objective(fixed, layout),
        optimizer=lambda hparams, *place: program.optimizer(fixed, *place),
        source=program.source._replace(take=take),
    )


def noise_of_the_host(program):
    """Batches depend on what ran before, which no checkpoint holds."""
    rng = np.random.RandomState(0)

    def take(*args):
        batch = program.source.take(*args)
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        factor = jax.pure_callback(lambda: np.float32(rng.rand()), shape)
        return batch | {"image": batch["image"] * factor}

    return program._replace(source=program.source._replace(take=take))


def first_layer_only(program):
    def objective(hparams, layout):
        made = program.objective(hparams, layout)
        encode = lambda *args: jax.tree.map(lambda leaf: leaf[:1], made.encode(*args))  # noqa: E731
        return made._replace(encode=encode)

    return program._replace(objective=objective)


BROKEN = {
    "growing state": (test_laws.test_state_and_metrics_are_static, with_loss(growing_state)),
    "constant numbers": (test_laws.test_numbers_are_traced, numbers_of_the_start),
    "infinite loss": (
        test_laws.test_losses_gradients_and_parameters_stay_finite,
        with_loss(reported(jnp.inf)),
    ),
    "no gradient": (
        test_laws.test_losses_gradients_and_parameters_stay_finite,
        with_loss(scaled(0.0)),
    ),
    "infinite gradient": (
        test_laws.test_losses_gradients_and_parameters_stay_finite,
        with_loss(scaled(jnp.inf)),
    ),
    "wrong sign": (test_laws.test_training_learns, with_loss(scaled(-1.0))),
    "leaking player": (test_laws.test_each_player_follows_its_own_loss, with_loss(leaking)),
    "doubled loss": (test_laws.test_each_player_follows_its_own_loss, with_loss(reported(2.0))),
    "missing layers": (test_laws.test_encodes_and_decodes_every_layer, first_layer_only),
    "host state": (test_laws.test_save_restore_continue_equals_continue, noise_of_the_host),
}


# The first of each law by default, all if slow.
FIRST = {law: name for name, (law, _) in reversed(BROKEN.items())}


@pytest.mark.parametrize(
    "name",
    [
        name if name in FIRST.values() else pytest.param(name, marks=pytest.mark.slow)
        for name in BROKEN
    ],
)
def test_a_broken_method_is_found(name, monkeypatch, tmp_path):
    law, change = BROKEN[name]
    num_layers = 3 if name == "missing layers" else 1
    broken = Case(config_of(METHOD, num_layers), change)
    monkeypatch.setattr(test_laws, "case", lambda *_: broken)
    given = {
        "method": METHOD,
        "num_layers": num_layers,
        "likelihood": "bernoulli",
        "tmp_path": tmp_path,
    }
    with pytest.raises(AssertionError):
        law(**{name: given[name] for name in inspect.signature(law).parameters})


def test_statistics_of_a_part_of_the_batch_are_found():
    plan = programs.plan(config_of(METHOD))
    objective = plan.program.objective
    broken = plan.program._replace(
        objective=lambda hparams, layout: objective(hparams, layout._replace(axis_name=None))
    )
    with pytest.raises(AssertionError):
        test_parallel.check_losses(plan._replace(program=broken), [("jit", 4)])


def test_work_that_every_device_repeats_is_found():
    """Every device makes the whole batch's loss, as a split left to the compiler does."""
    plan = programs.plan(config_of(METHOD))
    take = plan.program.source.take
    whole = plan.program.source._replace(
        take=lambda arrays, key, step, *shard: take(arrays, key, step)
    )
    broken = plan._replace(program=plan.program._replace(source=whole))
    with pytest.raises(AssertionError, match="share"):
        test_parallel.check_work(broken, "jit")
