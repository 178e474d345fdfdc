"""InfoGAN: the game's gradients, its penalty, its model-like face."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from devae_jax import data, rng
from devae_jax.data import factors, ondevice
from devae_jax.models import vae
from devae_jax.models.gan import gan
from devae_jax.objectives import kl, likelihood
from devae_jax.objectives.infogan import VARIANTS, infogan
from devae_jax.types import Context, Posterior
from tests.objectives import devices

pytestmark = pytest.mark.xdist_group("infogan_start")  # what its tests share is made once

CONTEXT = Context((8, 8, 1), latent_dim=3)
MODEL = gan(CONTEXT, noise_dim=2, width=4)


def game(model=MODEL, terms=None, axis_name=None, **options):
    return infogan(CONTEXT._replace(axis_name=axis_name), model, terms or {}, **options)


@pytest.fixture(scope="module")
def start():
    images = jax.random.uniform(jax.random.key(1), (8, 8, 8, 1))
    return jax.jit(MODEL.init)(jax.random.key(0))[0], images


@functools.partial(jax.jit, static_argnums=0)
def compiled(variant, hyper, params, images):
    loss = game(variant=variant, **hyper).loss
    return jax.grad(loss, has_aux=True)(params, {}, {"image": images}, jax.random.key(2), 0)


def grads_of(start, variant="wasserstein_gp", gradient_penalty=10.0, information=1.0):
    hyper = {"gradient_penalty": gradient_penalty, "information": information}
    return compiled(variant, jax.tree.map(jnp.float32, hyper), *start)


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_players_learn_and_the_loss_is_the_generators(start, variant):
    grads, (_, metrics) = grads_of(start, variant)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert all(optax.global_norm(grads[player]) > 0 for player in ("generator", "critic"))
    np.testing.assert_allclose(metrics["loss"], metrics["generator/loss"], rtol=1e-6)


def test_losses_of_the_two_games():
    real, fake = jnp.asarray([3.0, 1.0]), jnp.asarray([0.5, 1.5])
    wasserstein, minimax = VARIANTS["wasserstein_gp"], VARIANTS["minimax"]
    assert wasserstein.critic(real, fake) == -1 and wasserstein.generator(fake) == -1
    assert wasserstein.place(8.0, 4.0, 0.25) == 5 and minimax.place(8.0, 4.0, 0.25) == 8
    told = -np.log(1 / (1 + np.exp(-np.array([3.0, 1.0, -0.5, -1.5]))))
    np.testing.assert_allclose(minimax.critic(real, fake), told.reshape(2, 2).mean(1).sum(), 1e-6)
    fooled = -np.log(1 / (1 + np.exp(-np.array([0.5, 1.5]))))
    np.testing.assert_allclose(minimax.generator(fake), fooled.mean(), 1e-6)


def test_the_critics_penalty_leaves_the_generator_alone(start):
    one, _ = grads_of(start, gradient_penalty=1.0)
    ten, _ = grads_of(start, gradient_penalty=10.0)
    for a, b in zip(*map(jax.tree.leaves, (one["generator"], ten["generator"])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert optax.global_norm(ten["critic"]) > 2 * optax.global_norm(one["critic"])


def test_players_pull_the_score_in_opposite_directions(start):
    """Descending its own gradient, the critic widens the gap of scores, the generator closes it."""
    params, images = start
    grads, (_, before) = grads_of(start, gradient_penalty=0.0, information=0.0)
    for player, sign in (("critic", 1), ("generator", -1)):
        moved = jax.tree.map(lambda p, g: p - 0.01 * g, params[player], grads[player])
        _, (_, after) = grads_of(
            (params | {player: moved}, images), gradient_penalty=0.0, information=0.0
        )
        assert sign * (after["score_gap"] - before["score_gap"]) > 0


@pytest.mark.parametrize(("variant", "slope"), [("wasserstein_gp", 1.0), ("minimax", 0.0)])
def test_penalty_of_a_linear_critic(start, variant, slope):
    """C(x) = w x has slope |w| everywhere: the penalty is (|w| - slope)^2."""
    _, images = start
    zeros = jnp.zeros((1, 8, 3))
    linear = MODEL._replace(
        criticise=lambda w, x: (
            (x * w[None]).sum(axis=(1, 2, 3)),
            Posterior(mean=zeros[:, :1].repeat(len(x), 1), logvar=zeros[:, :1].repeat(len(x), 1)),
        )
    )
    w = jax.random.normal(jax.random.key(3), (8, 8, 1))
    params = {"generator": start[0]["generator"], "critic": w}
    loss = jax.jit(game(linear, variant=variant).loss)
    _, (_, metrics) = loss(params, {}, {"image": images}, jax.random.key(2), 0)
    expected = (np.linalg.norm(w) - slope) ** 2
    np.testing.assert_allclose(metrics["gradient_penalty"], expected, rtol=1e-5)


def test_it_evaluates_like_a_model_of_one_layer(start):
    params, images = start
    objective = game(likelihood="squared_error")
    assert objective.error is likelihood.squared_error
    posterior = objective.encode(params, {}, images, 0)
    assert posterior.mean.shape == posterior.logvar.shape == (1, 8, 3)
    logits = objective.logits(params, posterior.mean[0], jnp.zeros(8, jnp.int32))
    assert logits.shape == images.shape


def test_the_generator_moves_every_nth_step(start):
    params, _ = start
    trainable = game(critic_steps=jnp.float32(3)).trainable
    turns = [float(trainable(params, jnp.int32(t))["generator"]) for t in range(7)]
    assert turns == [0, 0, 1, 0, 0, 1, 0]
    assert trainable(params, jnp.int32(0))["critic"] == 1


def test_results_do_not_depend_on_the_device_count(start):
    params, images = start

    def grads(params, batch):
        loss = game(axis_name=devices.AXIS).loss
        return jax.grad(loss, has_aux=True)(params, {}, batch, jax.random.key(2), 0)

    whole = compiled("wasserstein_gp", {}, params, images)
    parts = devices.split(grads, 4)(params, {"image": images})
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "bad", [{"image_shape": (20, 20, 1)}, {"num_layers": 2}, {"noise_dim": 0}, {"latent_dim": 0}]
)
def test_bad_sizes(bad):
    options = {"noise_dim": bad.pop("noise_dim", 2)}
    with pytest.raises(ValueError, match="expected"):
        gan(CONTEXT._replace(**bad), **options)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"variant": "minmax"}, "objective.variant='minmax', expected .*'minimax'"),
        ({"likelihood": "gauss"}, "objective.likelihood='gauss', expected .*'gaussian'"),
        ({"model": vae(CONTEXT, encoder="mlp", decoder="mlp")}, "got a Model .* expected a Gan"),
        ({"terms": {"kl": kl.pressure(CONTEXT, betas=1.0)}}, "objective.terms kl, .* no terms"),
    ],
)
def test_says_what_it_cannot_build(change, message):
    with pytest.raises(ValueError, match=message):
        game(**change)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_draws_sprites_that_its_codes_move(variant, seed, cache_dir):
    """About a minute each: squares of any size and place, 32 x 32 pixels."""
    squares = {"shape": (0,), "orientation": (0,)}
    request = data.Request(data_dir=cache_dir, factors=squares, image_size=32, progress=False)
    dataset = data.load("dsprites_regen", request)
    source = ondevice.source(dataset, 32)
    context = Context(dataset.image_shape, latent_dim=3)
    model = gan(context, noise_dim=3, width=8)
    weight = 10.0 if variant == "wasserstein_gp" else 1.0
    objective = infogan(
        context, model, {}, variant=variant, information=0.5, gradient_penalty=weight
    )
    adam = optax.adam(2e-3, b1=0.0, b2=0.9)
    key = rng.seed(seed)
    params, _ = objective.init(rng.stream(key, "init"))

    @jax.jit
    def step(params, state, arrays, t):
        batch = source.take(arrays, rng.stream(key, "data"), t)
        grads, (_, metrics) = jax.grad(objective.loss, has_aux=True)(
            params, {}, batch, rng.stream(key, "loss", t), t
        )
        updates, state = adam.update(grads, state)
        return optax.apply_updates(params, updates), state, metrics

    state, information = adam.init(params), []
    for t in range(3000):
        params, state, metrics = step(params, state, source.arrays, jnp.int32(t))
        information.append(metrics["information"])
    assert np.mean(information[-500:]) > 2.0

    everything = factors.from_index(dataset.grid, jnp.arange(factors.num_images(dataset.grid)))
    real = np.asarray(dataset.observe(dataset.arrays, everything)).reshape(len(everything), -1)
    codes = jax.random.normal(rng.stream(key, "codes"), (256, 3))
    fake = np.asarray(jax.nn.sigmoid(objective.logits(params, codes, None))).reshape(256, -1)
    squared = (fake**2).sum(1)[:, None] + (real**2).sum(1)[None] - 2 * fake @ real.T
    assert squared.min(axis=1).mean() < 0.5 * (real**2).sum(1).mean()
    for code in range(3):
        moved = objective.logits(params, codes.at[:, code].add(0.5), None)
        change = np.abs(np.asarray(jax.nn.sigmoid(moved)).reshape(256, -1) - fake).sum(axis=1)
        assert change.mean() > 5.0  # pixels
