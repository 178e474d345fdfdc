"""Capacities, cascades and controllers: what they promise in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.configs import control_vae, variants
from devae_jax.objectives import control, kl
from devae_jax.types import Context, Latents, Posterior


def observe(divergence):
    """Latents whose KL, [K, D], is given."""
    divergence = jnp.asarray(divergence, jnp.float32)
    empty = jnp.zeros((divergence.shape[0], 1, divergence.shape[1]))
    return Latents(posterior=Posterior(mean=empty, logvar=empty), z=empty, kl=divergence)


def context(num_layers=1):
    return Context((8, 8, 1), latent_dim=2, num_layers=num_layers)


def value_and_grad(term, divergence, step=0, carry=None):
    """Value [K], gradient [K, D] of the sum, and (carry, metrics)."""
    carry = term.init(None)[1] if carry is None else carry

    def total(divergence):
        value, aux = term.apply({}, carry, observe(divergence), None, jnp.int32(step))
        return value.sum(), (value, aux)

    grad, (value, aux) = jax.grad(total, has_aux=True)(jnp.asarray(divergence))
    return value, grad, aux


def test_pressures_weigh_their_own_layer():
    value, grad, _ = value_and_grad(
        kl.pressure(context(3), betas=jnp.asarray([1.0, 10.0, 40.0])),
        [[1.0, 2.0], [0.5, 0.0], [0.1, 0.1]],
    )
    np.testing.assert_allclose(value, [3.0, 5.0, 8.0], rtol=1e-6)
    np.testing.assert_allclose(grad, [[1, 1], [10, 10], [40, 40]], rtol=1e-6)


def test_capacity_has_its_kink_at_the_capacity():
    term = kl.capacity(context(3), capacities=jnp.asarray([4.0, 2.0, 1.0]), gamma=100.0)
    value, grad, (_, metrics) = value_and_grad(term, [[3.0, 0.5], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(value, [50.0, 0.0, 100.0])
    np.testing.assert_allclose(grad[0], -100.0)
    np.testing.assert_allclose(grad[2], 100.0)
    np.testing.assert_allclose(metrics["capacity"], [4.0, 2.0, 1.0])


def test_capacities_are_annealed_layer_by_layer():
    term = kl.capacity(
        context(2), capacities=jnp.asarray([10.0, 5.0]), gamma=1.0, start=1.0, anneal_steps=100.0
    )
    for step, expected in ((0, [1, 1]), (50, [5.5, 3]), (100, [10, 5]), (999, [10, 5])):
        _, _, (_, metrics) = value_and_grad(term, [[0.0], [0.0]], step)
        np.testing.assert_allclose(metrics["capacity"], expected, rtol=1e-6)


def test_annealing_is_as_published_unless_told_otherwise():
    """Burgess et al. 2018: 25 nats, gamma = 1000, over 100,000 steps."""
    for step, expected in ((50_000, 1000 * 7.5), (100_000, 1000 * 5.0), (200_000, 1000 * 5.0)):
        value, _, _ = value_and_grad(kl.annealed(context()), [[12.0, 8.0]], step)
        np.testing.assert_allclose(value, [expected], rtol=1e-5)


def test_deft_takes_a_list_of_any_length_and_one_layer():
    value, _, _ = value_and_grad(
        kl.deft_pressure(context(), betas=jnp.asarray([9.0, 3.0]), stage_steps=10.0), [[2.0]], 10
    )
    np.testing.assert_allclose(value, [6.0])


@pytest.mark.parametrize("factory", [control.control_vae, control.dynamic_vae])
def test_beta_is_a_constant_for_the_gradient(factory):
    _, grad, (_, metrics) = value_and_grad(factory(context(2)), [[30.0, 5.0], [1.0, 0.0]])
    np.testing.assert_allclose(grad, jnp.repeat(metrics["beta"][:, None], 2, axis=1), rtol=1e-6)


@pytest.mark.parametrize("factory", [control.control_vae, control.dynamic_vae])
@pytest.mark.parametrize(
    ("hyper", "divergence"),
    [
        ({"target": 800.0, "start": 800.0}, 1.0),  # exp(799) overflows in the reference
        (
            {"target_steps": 2000.0, "interval_steps": 5000.0},
            30.0,
        ),  # 2000 // 5000 = 0 divides there
        ({}, 1e6),
    ],
)
def test_controllers_stay_finite(factory, hyper, divergence):
    term = factory(context(), **hyper)
    carry = None
    for step in range(3):
        value, grad, (carry, metrics) = value_and_grad(term, [[divergence]], step, carry)
        for leaf in jax.tree.leaves((value, grad, carry, metrics)):
            assert np.isfinite(leaf).all()
        assert metrics["beta"] >= 1.0


@pytest.mark.parametrize(
    ("factory", "hyper"),
    [
        (control.control_vae, {"start": 8.0, "k_p": 0.1, "k_i": 0.01}),
        (control.dynamic_vae, {"start": 8.0, "k_p": 0.1, "k_i": 0.01, "beta_start": 9.0}),
        (control.dynamic_vae, {"start": 8.0, "k_i": 0.01, "proportional": "clipped"}),
    ],
)
def test_controllers_reach_their_target(factory, hyper):
    """On a plant whose KL falls with beta, KL = 40 / beta, the only rest is the target."""
    term = factory(context(), target=8.0, **hyper)

    def plant(state, t):
        carry, divergence = state
        latents = Latents(
            posterior=Posterior(mean=jnp.zeros((1, 1, 1)), logvar=jnp.zeros((1, 1, 1))),
            z=jnp.zeros((1, 1, 1)),
            kl=divergence[:, None],
        )
        _, (carry, metrics) = term.apply({}, carry, latents, None, t)
        return (carry, 0.9 * divergence + 4.0 / metrics["beta"]), divergence

    start = (term.init(None)[1], jnp.asarray([20.0]))
    (_, divergence), _ = jax.lax.scan(plant, start, jnp.arange(20_000))
    np.testing.assert_allclose(divergence, 8.0, rtol=1e-2)


@pytest.mark.parametrize(
    ("variant", "steps"),
    [("", 600_000), ("", 20_000), ("", 2_000), ("quickstart", None), ("toy", None)],
)
def test_control_vae_leaves_its_least_beta(variant, steps):
    """KL is below the first target at first and above it soon, however short the run."""
    config = control_vae.get_config(variant)
    variants.shorten(config, steps or config.steps)
    numbers = {k: v for k, v in config.objective.terms.kl.items() if k != "kind"}
    term = control.control_vae(context(), **numbers)

    def step(carry, t):
        latents = observe(jnp.where(t < 20, 0.0, 18.0)[None, None])
        _, (carry, metrics) = term.apply({}, carry, latents, None, t)
        return carry, metrics["beta"]

    _, beta = jax.lax.scan(step, term.init(None)[1], jnp.arange(300))
    assert beta[-1] > 1.1


def test_controllers_of_layers_have_their_own_state():
    _, _, (carry, metrics) = value_and_grad(
        control.control_vae(context(2), target=5.0), [[20.0], [0.0]]
    )
    assert metrics["beta"][0] > metrics["beta"][1]
    assert carry["integral"].shape == (2,)


def test_unknown_proportional_part():
    with pytest.raises(ValueError, match="sigmoid"):
        control.dynamic_vae(context(), proportional="sigmod")
