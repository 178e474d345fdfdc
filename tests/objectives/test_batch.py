"""Batches over devices: what is gathered, cut and drawn; terms that share the work."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import vae
from devae_jax.objectives import batch, gaussian, kl
from devae_jax.objectives.adversarial import density_ratio
from devae_jax.objectives.elbo import elbo
from devae_jax.objectives.tc import total_correlation
from devae_jax.types import Context, Latents, Posterior
from tests.objectives import devices

DEVICES = 4


def by_vmap(function, rows):
    """function on each of DEVICES parts of the rows [B, ...], a stack of results."""
    parts = jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), rows)
    return jax.vmap(function, axis_name=devices.AXIS)(parts)


def test_what_is_gathered_is_the_batch_and_what_is_cut_is_the_devices_part():
    rows = jnp.arange(24.0).reshape(8, 3)
    gathered = by_vmap(lambda x: batch.gather({"a": x.T}, devices.AXIS, axis=1)["a"], rows)
    cut = by_vmap(
        lambda x: batch.local(batch.gather(x, devices.AXIS, axis=0), devices.AXIS, 0), rows
    )
    for device in range(DEVICES):
        np.testing.assert_array_equal(gathered[device], rows.T)
        np.testing.assert_array_equal(cut[device], rows[2 * device : 2 * device + 2])


def test_one_device_has_everything():
    rows = jnp.arange(6.0).reshape(2, 3)
    assert batch.gather(rows, None, axis=0) is rows
    assert batch.local(rows, None, axis=0) is rows


def test_draws_do_not_depend_on_the_number_of_devices():
    def draw(shape, axis_name):
        return batch.draw(jax.random.normal, jax.random.key(0), shape, axis_name)

    parts = by_vmap(lambda x: draw((2, 5), devices.AXIS), jnp.zeros(8))
    np.testing.assert_array_equal(parts.reshape(8, 5), draw((8, 5), None))


def test_rows_that_devices_cannot_share():
    with pytest.raises(ValueError, match="got 6 rows to share between 4 devices, expected a mult"):
        by_vmap(lambda x: batch.local(jnp.zeros((1, 6)), devices.AXIS, axis=1), jnp.zeros(4))


def test_halves_that_devices_cannot_share():
    with pytest.raises(ValueError, match="got 6 rows to share between 4 devices"):
        jax.eval_shape(*example("second_batch", DEVICES, batch_size=12))


ROWS, DIM, LAYERS = 16, 3, 2
CONTEXT = Context((8, 8, 1), DIM, LAYERS, dataset_size=1000)
TERMS = {
    "mws": lambda context: total_correlation(context, estimator="mws"),
    "mss": lambda context: total_correlation(context, estimator="mss"),
    "same_batch": lambda context: density_ratio(context, width=32, depth=2),
    "second_batch": lambda context: density_ratio(context, width=32, depth=2, second_batch=True),
}


def example(name, shards, batch_size=ROWS):
    """(function, everywhere, batch): value, metrics and gradients of a term on its latents."""
    axis_name = devices.AXIS if shards > 1 else None
    term = TERMS[name](CONTEXT._replace(axis_name=axis_name))

    def total(params, posterior, noise):
        gathered, noise = batch.gather((posterior, noise), axis_name, axis=1)
        z = gaussian.sample(gathered, noise)
        latents = Latents(posterior=gathered, z=z, kl=gaussian.kl(gathered).mean(axis=1))
        value, (_, metrics) = term.apply(params, {}, latents, jax.random.key(7), 0)
        return (value * jnp.asarray([1.0, 2.0])).sum(), metrics

    def function(state, rows):
        params, scale = state
        mean, logvar, noise = jnp.moveaxis(rows, 0, -2)

        def scaled(params, scale):  # as an encoder's weights are: the same on every device
            return total(params, Posterior(mean=scale * mean, logvar=scale * logvar), noise)

        return jax.value_and_grad(scaled, argnums=(0, 1), has_aux=True)(params, scale)

    rows = jax.random.normal(jax.random.key(3), (batch_size, 3, LAYERS, DIM))
    params = jax.tree.map(lambda x: jnp.asarray(x, float), term.init(jax.random.key(5))[0])
    state = (params, jnp.full((LAYERS, 1, DIM), 1.1))
    if shards == 1:
        return function, state, rows
    return devices.split(function, shards), state, rows


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_the_same_on_any_number_of_devices(name):
    with jax.enable_x64(True):
        one, *given = example(name, 1)
        whole = jax.device_get(jax.jit(one)(*given))
        parts = jax.device_get(example(name, DEVICES)[0](*given))
    for a, b in zip(*map(jax.tree.leaves, (parts, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
        assert np.any(b != 0)


def flops(function, *given):
    return jax.jit(function).lower(*given).compile().cost_analysis()["flops"]


@pytest.mark.parametrize("name", TERMS)
def test_devices_share_the_work_of_a_term(name):
    """Operations of a device's program fall with the number of devices."""
    one, each = (flops(*example(name, n, batch_size=64)) for n in (1, DEVICES))
    assert each < 1.2 / DEVICES * one


@pytest.mark.parametrize("layers", ["sum", "sampled"])
def test_the_bound_is_the_same_on_any_number_of_devices(layers):
    def objective(axis_name):
        context = CONTEXT._replace(axis_name=axis_name)
        model = vae(context, encoder="mlp", decoder="mlp", width=8)
        terms = {
            "kl": kl.pressure(context, betas=jnp.asarray([1.0, 4.0])),
            "tc": total_correlation(context),
        }
        return elbo(context, model, terms, layers=layers)

    def step(axis_name, state, rows):
        loss = objective(axis_name).loss
        return jax.value_and_grad(loss, has_aux=True)(*state, rows, jax.random.key(2), 0)

    state = jax.jit(objective(None).init)(jax.random.key(0))
    rows = {"image": jax.random.uniform(jax.random.key(1), (8, 8, 8, 1))}
    whole = jax.jit(functools.partial(step, None))(state, rows)
    parts = devices.split(functools.partial(step, devices.AXIS), DEVICES)(state, rows)
    for a, b in zip(*map(jax.tree.leaves, (parts, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
