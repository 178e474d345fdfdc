"""Layers of the bound: their weights and how one of them is drawn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models.gan import gan
from devae_jax.objectives import likelihood
from devae_jax.objectives.elbo import elbo, layer_weights
from devae_jax.objectives.kl import pressure
from devae_jax.types import Context, Model, Posterior

CONTEXT = Context((4, 4, 1), latent_dim=3)
BATCH = {"image": jnp.zeros((2, 4, 4, 1))}


def flat_model(num_layers):
    """Posterior N(0, 1) in every layer, logits zero."""
    zeros = jnp.zeros((num_layers, 2, 3))
    return Model(
        init=lambda key: ({"unused": jnp.zeros(())}, {}),
        encode=lambda params, carry, images, **_: (Posterior(mean=zeros, logvar=zeros), carry),
        logits=lambda params, z, layer: jnp.zeros((len(z), 4, 4, 1)) + params["unused"],
    )


def moved_model(num_layers):
    """The same with means of one."""
    flat = flat_model(num_layers)

    def encode(*args, **how):
        posterior, carry = flat.encode(*args, **how)
        return dataclasses.replace(posterior, mean=posterior.mean + 1.0), carry

    return flat._replace(encode=encode)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_layers_are_drawn_in_proportion_to_their_weights(scale):
    objective = elbo(
        CONTEXT._replace(num_layers=3), flat_model(3), {}, layers="sampled", scale=scale
    )
    params, carry = objective.init(jax.random.key(0))

    @jax.jit
    @jax.vmap
    def drawn(key):
        _, (_, metrics) = objective.loss(params, carry, BATCH, key, 0)
        return ~jnp.isnan(metrics["reconstruction"])

    number = 4_000
    counts = np.asarray(drawn(jax.random.split(jax.random.key(1), number)))
    assert (counts.sum(1) == 1).all()
    expected = layer_weights(scale, 3) / layer_weights(scale, 3).sum()
    deviation = np.sqrt(expected * (1 - expected) / number)
    assert (np.abs(counts.mean(0) - expected) < 4 * deviation).all()


@pytest.mark.parametrize("layers", ["sum", "sampled"])
def test_a_weight_of_the_error_is_the_inverse_of_one_of_the_penalties(layers):
    context = CONTEXT._replace(num_layers=2)

    def measured(weight, betas):
        objective = elbo(
            context,
            moved_model(2),
            {"kl": pressure(context, betas=jnp.array(betas))},
            layers=layers,
            reconstruction_weight=weight,
        )
        params, carry = objective.init(jax.random.key(0))
        return objective.loss(params, carry, BATCH, jax.random.key(1), 0)[1][1]

    one, four = measured(1.0, (0.5, 1.5)), measured(4.0, (2.0, 6.0))
    np.testing.assert_allclose(four["loss"], 4 * one["loss"], rtol=1e-6)
    assert one["loss/kl"] > 0.1
    # What is reported of a layer is in nats of the image as it is.
    np.testing.assert_array_equal(four["reconstruction"], one["reconstruction"])


def test_evaluation_reports_the_error_that_was_minimised():
    objective = elbo(CONTEXT, flat_model(1), {}, likelihood="squared_error")
    assert objective.error is likelihood.squared_error
    assert objective.needs == ("image",)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"likelihood": "bernouli"}, "objective.likelihood='bernouli', expected .*'bernoulli'"),
        ({"layers": "some"}, "objective.layers='some', expected one of sum, sampled"),
        ({"model": gan(Context((8, 8, 1), 3))}, "got a Gan as the model, expected a Model"),
    ],
)
def test_says_what_it_cannot_build(change, message):
    with pytest.raises(ValueError, match=message):
        elbo(CONTEXT, **({"model": flat_model(1), "terms": {}} | change))
