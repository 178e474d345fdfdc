"""The density-ratio term: two players, one gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from devae_jax.objectives import gaussian
from devae_jax.objectives.adversarial import density_ratio
from devae_jax.types import Context, Latents, Posterior


def make_latents(z):
    posterior = Posterior(mean=z, logvar=jnp.zeros_like(z))
    return Latents(posterior=posterior, z=z, kl=gaussian.kl(posterior).mean(axis=1))


def term(gamma=1.0, *, num_layers=1, axis_name=None, width=16, **options):
    context = Context((8, 8, 1), latent_dim=2, num_layers=num_layers, axis_name=axis_name)
    return density_ratio(context, width=width, depth=2, gamma=gamma, **options)


@functools.partial(jax.jit, static_argnums=0)
def start(num_layers=1):
    return term(num_layers=num_layers).init(jax.random.key(1))[0]


def correlated(key, batch, rho):
    x = jax.random.normal(key, (batch, 2))
    return jnp.stack([x[:, 0], rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]], axis=-1)[None]


@pytest.mark.parametrize("second_batch", [False, True])
def test_each_player_sees_its_own_loss_only(second_batch):
    """Scaling gamma scales the codes' gradient and leaves the discriminator's alone."""
    z = correlated(jax.random.key(0), 32, 0.9)
    params = start()

    @jax.jit
    def grads(gamma):
        def value(params, z):
            one = term(gamma, second_batch=second_batch)
            value, (_, metrics) = one.apply(params, {}, make_latents(z), jax.random.key(2), 0)
            return value.sum(), (value, metrics)

        return jax.grad(value, argnums=(0, 1), has_aux=True)(params, z)

    (disc_1, codes_1), (value, metrics) = grads(1.0)
    (disc_5, codes_5), _ = grads(5.0)
    np.testing.assert_allclose(value, metrics["tc"], rtol=1e-6)
    np.testing.assert_allclose(codes_5, 5 * codes_1, rtol=1e-5)
    for one, five in zip(jax.tree.leaves(disc_1), jax.tree.leaves(disc_5), strict=True):
        assert np.any(one)
        np.testing.assert_array_equal(one, five)


def test_second_half_is_only_permuted():
    """With a second batch the codes' gradient comes from the first half alone."""
    z = correlated(jax.random.key(0), 32, 0.9)
    one = term(second_batch=True)
    params = start()
    grad = jax.jit(
        jax.grad(lambda z: one.apply(params, {}, make_latents(z), jax.random.key(2), 0)[0][0])
    )(z)
    assert np.any(grad[:, :16])
    assert not np.any(grad[:, 16:])


def test_layers_have_their_own_discriminators():
    params = start(3)
    kernels = params["Dense_0"]["kernel"]
    assert kernels.shape == (3, 2, 16)
    assert not np.allclose(kernels[0], kernels[1])


def test_trained_discriminator_finds_the_tc_of_a_gaussian():
    rho, true = 0.9, -0.5 * np.log(1 - 0.9**2)
    one, adam = term(width=64), optax.adam(3e-3)
    params, _ = jax.jit(one.init)(jax.random.key(0))

    def step(state, key):
        params, opt_state = state
        draw, permute = jax.random.split(key)

        def value(params):
            latents = make_latents(correlated(draw, 512, rho))
            value, (_, metrics) = one.apply(params, {}, latents, permute, 0)
            return value.sum(), metrics

        grads, metrics = jax.grad(value, has_aux=True)(params)
        updates, opt_state = adam.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), metrics

    keys = jax.random.split(jax.random.key(1), 600)
    _, metrics = jax.jit(lambda s: jax.lax.scan(step, s, keys))((params, adam.init(params)))
    np.testing.assert_allclose(metrics["tc"][-100:].mean(), true, atol=0.1)
    assert metrics["loss"][-100:].mean() < np.log(2) - 0.1


def test_a_second_batch_needs_an_even_number_of_images():
    one = term(second_batch=True)
    z = jax.ShapeDtypeStruct((1, 7, 2), jnp.float32)
    message = "got a batch of 7 images, expected an even number for second_batch=True"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda z: one.apply(start(), {}, make_latents(z), jax.random.key(0), 0)[0], z
        )
