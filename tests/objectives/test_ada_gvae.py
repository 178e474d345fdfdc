"""Ada-GVAE and Ada-ML-VAE against a plain statement of the paper, in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax import rng
from devae_jax.models import vae
from devae_jax.objectives import OBJECTIVES, gaussian, kl
from devae_jax.objectives.ada_gvae import AGGREGATIONS, ada_gvae, distance, shared
from devae_jax.types import Context, Model, Posterior
from tests.objectives import devices

pytestmark = pytest.mark.xdist_group("ada_gvae_pairs")  # what its tests share is made once

LAYERS, PAIRS, DIM = 2, 6, 5
CONTEXT = Context((8, 8, 1), DIM, LAYERS)


@pytest.fixture(scope="module")
def posterior():
    """Leaves [K, 2, B, D]: some latents of a pair lie near, some far."""
    draws = np.random.default_rng(0)
    shape = (LAYERS, 2, PAIRS, DIM)
    spread = draws.uniform(0.01, 2.0, (LAYERS, 1, PAIRS, DIM))
    mean = draws.normal(size=shape) * spread
    logvar = draws.normal(size=shape) * spread - 1.0
    return Posterior(mean=jnp.asarray(mean, jnp.float32), logvar=jnp.asarray(logvar, jnp.float32))


def one_pair(mean, variance, aggregation):
    """(distance [D], shared [D], means [2, D], variances [2, D]) of one pair, latent by latent."""
    (m1, m2), (v1, v2) = mean, variance
    far = v1 / v2 + (m2 - m1) ** 2 / v2 - 1 + np.log(v2) - np.log(v1)
    same = far < (far.min() + far.max()) / 2
    if aggregation == "gvae":
        m, v = (m1 + m2) / 2, (v1 + v2) / 2
    else:
        v = 2 * v1 * v2 / (v1 + v2)
        m = (m1 / v1 + m2 / v2) * v / 2
    return far, same, np.where(same, m, mean), np.where(same, v, variance)


def stated(posterior, aggregation):
    """`one_pair` of all pairs and layers: distance, shared [K, B, D]; the others [K, 2, B, D]."""
    mean, variance = (np.asarray(x, np.float64) for x in (posterior.mean, posterior.logvar))
    variance = np.exp(variance)
    rows = [
        [one_pair(mean[k, :, i], variance[k, :, i], aggregation) for i in range(PAIRS)]
        for k in range(LAYERS)
    ]
    far, same, means, variances = (
        np.array([[pair[part] for pair in layer] for layer in rows]) for part in range(4)
    )
    return far, same, means.swapaxes(1, 2), variances.swapaxes(1, 2)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_distances_choice_and_aggregates(posterior, aggregation):
    far, same, means, variances = stated(posterior, aggregation)
    np.testing.assert_allclose(distance(posterior), far, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        distance(posterior),
        2 * jnp.stack([_kl(*pair) for pair in _layers(posterior)]),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_array_equal(shared(posterior), same)
    assert same.any(axis=-1).all() and not same.all(axis=-1).any()
    one = AGGREGATIONS[aggregation](posterior)
    everywhere = np.broadcast_to(same[:, None], means.shape)
    for ours, expected in ((one.mean, means), (jnp.exp(one.logvar), variances)):
        ours = np.broadcast_to(ours, expected.shape)
        np.testing.assert_allclose(ours[everywhere], expected[everywhere], rtol=1e-5, atol=1e-6)


def _layers(posterior):
    """((mean, logvar) of the first image, of the second) of each layer."""
    for mean, logvar in zip(posterior.mean, posterior.logvar, strict=True):
        yield (mean[0], logvar[0]), (mean[1], logvar[1])


def _kl(first, second):
    """KL(q1 || q2) = E_q1 [log q1 - log q2], from the entropy and the cross-entropy."""
    (m1, l1), (m2, l2) = first, second
    cross = 0.5 * ((jnp.exp(l1) + (m1 - m2) ** 2) * jnp.exp(-l2) + l2)
    return cross - 0.5 * (1.0 + l1)


def test_the_threshold_is_the_middle_between_smallest_and_largest():
    """Means of the second image away from 0 by 1, 2, 3, 4: distances 1, 4, 9, 16, threshold 8.5."""
    mean = jnp.stack([jnp.zeros(4), jnp.asarray([1.0, 2.0, 3.0, 4.0])])[None, :, None]
    pair = Posterior(mean=mean, logvar=jnp.zeros_like(mean))
    np.testing.assert_allclose(distance(pair)[0, 0], [1, 4, 9, 16])
    np.testing.assert_array_equal(shared(pair)[0, 0], [True, True, False, False])


def test_what_differs_most_is_never_shared():
    """Neither of a single latent nor of equally far ones."""
    mean = jnp.asarray([0.0, 1.0]).reshape(1, 2, 1, 1)
    for dim in (1, 3):
        wide = jnp.tile(mean, (1, 1, 1, dim))
        assert not shared(Posterior(mean=wide, logvar=jnp.zeros_like(wide))).any()


def fixed_model(posterior):
    """An encoder that says params["mean"] and params["logvar"] [K, 2 B, D] of any images.

    Logits of every pixel are the sum of the codes, so that the reconstruction shows the samples.
    """
    return Model(
        init=lambda key: (posterior, {}),
        encode=lambda params, carry, images, **_: (Posterior(**params), carry),
        logits=lambda params, z, layer: jnp.broadcast_to(
            z.sum(axis=-1)[:, None, None, None], (len(z), 8, 8, 1)
        ),
    )


@functools.partial(jax.jit, static_argnums=0)
def loss_and_grads(aggregation, params, batch):
    terms = {"kl": kl.pressure(CONTEXT, betas=jnp.asarray([2.0, 3.0]))}
    objective = ada_gvae(
        CONTEXT, fixed_model(params), terms, likelihood="squared_error", aggregation=aggregation
    )
    key = jax.random.key(3)
    return jax.value_and_grad(objective.loss, has_aux=True)({"model": params}, {}, batch, key, 0)


@pytest.fixture(scope="module")
def params(posterior):
    """The posteriors as an encoder says them, both images one after another."""
    rows = {"mean": posterior.mean, "logvar": posterior.logvar}
    return {name: x.reshape(LAYERS, -1, DIM) for name, x in rows.items()}


@pytest.fixture(scope="module")
def batch():
    image, pair = jax.random.uniform(jax.random.key(1), (2, PAIRS, 8, 8, 1))
    return {"image": image, "pair": pair}


def recorded_noise():
    """What the objective draws at `loss_and_grads`' key, [K, 2 B, D]."""
    return jax.random.normal(rng.stream(jax.random.key(3), "noise"), (LAYERS, 2 * PAIRS, DIM))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_loss_is_half_the_sum_over_both_images(posterior, params, batch, aggregation):
    (loss, (_, metrics)), _ = loss_and_grads(aggregation, params, batch)
    _, same, means, variances = stated(posterior, aggregation)
    noise = np.asarray(recorded_noise()).reshape(LAYERS, 2, PAIRS, DIM)
    z = means + np.sqrt(variances) * noise
    pixels = 1 / (1 + np.exp(-z.sum(axis=-1)))[..., None, None, None]
    images = np.stack([batch["image"], batch["pair"]])
    errors = ((images[None] - pixels) ** 2).sum(axis=(3, 4, 5)).mean(axis=2)  # [K, 2]
    divergence = 0.5 * (means**2 + variances - 1 - np.log(variances)).sum(-1).mean(axis=2)
    np.testing.assert_allclose(metrics["reconstruction"], errors.sum(axis=1) / 2, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], divergence.sum(axis=1) / 2, rtol=1e-5)
    expected = (errors.sum(axis=1) + [2, 3] * divergence.sum(axis=1)).sum() / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["shared"], same.sum(axis=-1).mean(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_no_gradient_through_the_choice(posterior, params, batch, aggregation):
    """Gradients are those of the loss with the choice given as a constant."""
    _, grads = loss_and_grads(aggregation, params, batch)
    same = stated(posterior, aggregation)[1][:, None]
    noise = recorded_noise().reshape(LAYERS, 2, PAIRS, DIM)
    images = jnp.stack([batch["image"], batch["pair"]])

    @jax.jit
    @jax.grad
    def of_constant_choice(params):
        rows = {name: x.reshape(LAYERS, 2, PAIRS, DIM) for name, x in params.items()}
        alone = Posterior(**rows)
        coupled = jax.tree.map(
            lambda one, x: jnp.where(same, one, x), AGGREGATIONS[aggregation](alone), alone
        )
        pixels = jax.nn.sigmoid(gaussian.sample(coupled, noise).sum(axis=-1))[..., None, None, None]
        errors = jnp.square(images[None] - pixels).sum(axis=(3, 4, 5)).mean(axis=(1, 2))
        divergence = gaussian.kl(coupled).sum(axis=-1).mean(axis=(1, 2))
        return (errors + jnp.asarray([2.0, 3.0]) * divergence).sum()

    for name, expected in of_constant_choice(params).items():
        np.testing.assert_allclose(grads["model"][name], expected, rtol=1e-4, atol=1e-5)


def small(name, axis_name=None, **options):
    context = CONTEXT._replace(axis_name=axis_name)
    model = vae(context, encoder="mlp", decoder="mlp", width=8)
    terms = {"kl": kl.pressure(context, betas=jnp.asarray([1.0, 4.0]))}
    return OBJECTIVES[name](context, model, terms, **options)


def test_results_do_not_depend_on_the_number_of_devices():
    def step(axis_name, state, batch):
        loss = small("ada_gvae", axis_name).loss
        return jax.value_and_grad(loss, has_aux=True)(*state, batch, jax.random.key(2), 0)

    state = jax.jit(small("ada_gvae").init)(jax.random.key(0))
    image, pair = jax.random.uniform(jax.random.key(1), (2, 8, 8, 8, 1))
    batch = {"image": image, "pair": pair}
    whole = jax.jit(functools.partial(step, None))(state, batch)
    parts = devices.split(functools.partial(step, devices.AXIS), 4)(state, batch)
    for a, b in zip(*map(jax.tree.leaves, (parts, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_images_are_encoded_without_a_pair():
    """After training it is a model like any other."""
    weak, plain = small("ada_gvae"), small("elbo")
    assert weak.needs == ("image", "pair")
    params, carry = jax.jit(weak.init)(jax.random.key(0))
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 1))
    ours, theirs = (jax.jit(o.encode)(params, carry, images, 0) for o in (weak, plain))
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    assert weak.error is plain.error


@pytest.mark.parametrize(
    "change, message",
    [
        ({"aggregation": "mlvae"}, "objective.aggregation='mlvae', expected .*'ml_vae'"),
        ({"likelihood": "l2"}, "objective.likelihood='l2', expected one of"),
    ],
)
def test_says_what_it_cannot_build(change, message):
    with pytest.raises(ValueError, match=message):
        small("ada_gvae", **change)


def test_a_pair_of_equal_images_has_the_divergence_of_one():
    image = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))
    batch = {"image": image, "pair": image}
    weak, plain = small("ada_gvae"), small("elbo")
    params, carry = jax.jit(weak.init)(jax.random.key(0))
    ours, theirs = (
        jax.jit(o.loss)(params, carry, batch, jax.random.key(2), 0)[1][1]["kl"]
        for o in (weak, plain)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
