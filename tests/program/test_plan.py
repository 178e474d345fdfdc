"""From a config to a program: what each part of the config changes."""

import functools

import jax
import numpy as np
import pytest
from jax.extend import core

from devae_jax import data
from devae_jax.data import factors as fg
from devae_jax.program import plan as programs
from devae_jax.training import step as training
from tests.laws.registry import config_of


def small(**changes):
    config = config_of("beta_vae")
    for key, value in changes.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config


def equations(jaxpr):
    """All equations of a program, inner functions included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in core.jaxprs_in_params(equation.params):
            yield from equations(inner)


PRECISIONS = {"float32": "HIGHEST", "tensorfloat32": "HIGH", "bfloat16": "DEFAULT"}


@pytest.mark.parametrize(
    "precision, platform, wanted",
    [
        *((name, "cpu", wanted) for name, wanted in PRECISIONS.items()),
        ("auto", "cpu", "HIGHEST"),
        ("auto", "gpu", "HIGH"),
        ("auto", "tpu", "DEFAULT"),
        ("float32", "tpu", "HIGHEST"),
    ],
)
@pytest.mark.parametrize("encoder", ["conv", "mlp"])
def test_every_product_of_a_step_has_the_precision_of_the_config(
    encoder, precision, platform, wanted
):
    config = small(matmul_precision=precision, model__convolution="native")
    config.model.encoder = config.model.decoder = encoder
    config.data.image_size = 32
    plan = programs.plan(config)
    state = jax.eval_shape(functools.partial(training.init, plan.program), plan.hparams)
    layout = training.Layout(platform=platform)
    step = functools.partial(training.train_step, plan.program, layout=layout)
    traced = jax.make_jaxpr(step)(plan.hparams, state, plan.program.source.arrays)
    found = [
        equation.params["precision"][0].name
        for equation in equations(traced.jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
    ]
    assert set(found) <= {wanted, "HIGHEST"}  # sums over pixels are never rounded
    assert found.count(wanted) > 10


def test_training_never_sees_what_is_held_out():
    plan = programs.plan(small(data__held_out={"x_position": (0, 1)}))
    dataset = plan.dataset
    factors = dataset.draw(dataset.arrays, jax.random.key(0), 500)
    column = dataset.grid.names.index("x_position")
    assert set(np.unique(factors[:, column])) == set(range(2, dataset.grid.sizes[column]))
    assert fg.num_images(dataset.grid) == fg.num_images(programs.plan(small()).dataset.grid)


def test_training_distribution_is_part_of_the_datas_identity():
    correlated = {"first": "x_position", "second": "y_position", "sigma": 0.1}
    identity = programs.plan(small(data__correlated=correlated)).dataset.identity
    assert identity["correlated"] == ["x_position", "y_position", 0.1]


def test_regimes_reach_the_program():
    imbalanced = {"shape": (3, 1)}
    noisy = programs.plan(
        small(data__noise=0.25, data__nuisance=("scale",), data__imbalanced=imbalanced)
    )
    identity = noisy.dataset.identity
    assert (identity["noise"], identity["nuisance"]) == (0.25, ["scale"])
    assert identity["imbalanced"] == {"shape": [3.0, 1.0]}
    source = noisy.program.source
    images = source.take(source.arrays, jax.random.key(0), 0)["image"]
    clean = data.SOURCES["ondevice"](noisy.dataset, source.batch_size)
    noise = images - clean.take(clean.arrays, jax.random.key(0), 0)["image"]
    assert 0.1 < np.std(noise) < 0.25  # cut to [0, 1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"matmul_precision": "tensorfloat"}, "did you mean 'tensorfloat32'"),
        ({"data__held_out": {"x_positoin": (0,)}}, "did you mean 'x_position'"),
        (
            {
                "data__held_out": {"x_position": (0,)},
                "data__correlated": {"first": "x_position", "second": "y_position", "sigma": 1},
            },
            "got both correlated and held_out",
        ),
        ({"batch_size": 0}, "got batch_size=0"),
        ({"train__checkpoint_every": 70}, "expected a multiple of"),
    ],
)
def test_bad_configs_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        programs.plan(small(**changes))
