"""InfoGAN: codes that a critic can read off generated images."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.names import lookup
from devae_jax.objectives import batch as batches
from devae_jax.objectives import gaussian
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import Array, Context, Gan, Objective, Positive, Posterior, Scalar, Term


class Game(NamedTuple):
    """What the players minimise, from scores [B].

    critic(real, fake) -> scalar;  generator(fake) -> scalar
    place(real, fake, mix [B, 1, 1, 1] in [0, 1]) -> images at which the gradient of the
        critic's score is penalised unless its norm is `slope`
    """

    critic: Callable[[Array, Array], Array]
    generator: Callable[[Array], Array]
    place: Callable[[Array, Array, Array], Array]
    slope: float


VARIANTS = {
    # Gulrajani et al. 2017, Algorithm 1: slope one between real and generated images.
    "wasserstein_gp": Game(
        critic=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda fake: -fake.mean(),
        place=lambda real, fake, mix: mix * real + (1.0 - mix) * fake,
        slope=1.0,
    ),
    # Goodfellow et al. 2014, with the non-saturating loss of its Section 3 and the R1
    # penalty of Mescheder et al. 2018, slope zero at real images.
    "minimax": Game(
        critic=lambda real, fake: jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean(),
        generator=lambda fake: jax.nn.softplus(-fake).mean(),
        place=lambda real, fake, mix: real,
        slope=0.0,
    ),
}


def infogan(
    context: Context,
    model: Gan,
    terms: Mapping[str, Term],
    *,
    variant: str = "wasserstein_gp",
    information: Scalar = 1.0,
    gradient_penalty: Scalar = 10.0,
    critic_steps: Positive = 1.0,
    likelihood: str = "bernoulli",
) -> Objective:
    """A game between generator and critic, plus a bound on the mutual information of codes.

        critic:     V_C + gradient_penalty E(|grad_x C(x)| - slope)^2 - information E log Q(c|x)
        generator:  V_G - information E log Q(c|x)

    Chen et al. 2016, Eq. 6. Codes and noise are N(0, I) (uniform in the paper), so that a
    code means the same here as a latent of a VAE; Q is a Gaussian that shares the critic's
    trunk. One gradient serves both players: each sees the other through stop_gradient, and
    the critic's loss enters as loss - sg(loss), so that `loss` reports the generator's.
    Players move simultaneously; with critic_steps = n the generator moves every n-th step.

    Args:
      context: with an axis name, the batch is split over it; codes are drawn for the global
        batch.
      model: see `models.gan`.
      terms: must be empty.
      variant: "wasserstein_gp" (default), or "minimax" with the non-saturating generator and
        the R1 penalty, without which the critic wins at once on binary images.
      information: weight of the information bound, nats.
      gradient_penalty: weight of the penalty.
      critic_steps: critic updates for each of the generator's.
      likelihood: name in LIKELIHOODS, of the error that evaluation reports for images decoded
        from their codes; the loss has none.

    Raises:
      ValueError: unknown variant or likelihood, any terms, or a model of another kind.
    """
    if not isinstance(model, Gan):
        raise ValueError(
            f"got a {type(model).__name__} as the model, expected a Gan with a generator and a "
            "critic; fix model.name or objective.name"
        )
    if terms:
        raise ValueError(
            f"got objective.terms {', '.join(terms)}, expected none: infogan takes no terms; "
            "remove them"
        )
    game = lookup(VARIANTS, variant, "objective.variant")
    error = lookup(LIKELIHOODS, likelihood, "objective.likelihood")

    def draw(sampler, key, *shape):
        return batches.draw(sampler, key, shape, context.axis_name)

    def loss(params, carry, batch, key, step):
        images = batch["image"]
        rows = images.shape[0]
        codes = draw(jax.random.normal, rng.stream(key, "codes"), rows, model.latent_dim)
        noise = draw(jax.random.normal, rng.stream(key, "noise"), rows, model.noise_dim)
        fake = jax.nn.sigmoid(model.generate(params["generator"], codes, noise))

        score, posterior = model.criticise(jax.lax.stop_gradient(params["critic"]), fake)
        generator_loss = game.generator(score) - information * _log_q(posterior, codes)

        fake = jax.lax.stop_gradient(fake)
        scores, posterior = model.criticise(params["critic"], jnp.concatenate([images, fake]))
        real_score, fake_score = jnp.split(scores, 2)
        log_q = _log_q(jax.tree.map(lambda leaf: leaf[:, rows:], posterior), codes)
        critic_loss = game.critic(real_score, fake_score) - information * log_q
        mix = draw(jax.random.uniform, rng.stream(key, "mix"), rows, 1, 1, 1)
        slope = _slope(model, params["critic"], game.place(images, fake, mix))
        penalty = jnp.square(slope - game.slope).mean()
        critic_loss += gradient_penalty * penalty
        total = generator_loss + critic_loss - jax.lax.stop_gradient(critic_loss)
        entropy = 0.5 * math.log(2.0 * math.pi * math.e) * model.latent_dim
        return total, (
            carry,
            {
                "loss": total,
                "generator/loss": generator_loss,
                "critic/loss": critic_loss,
                "information": entropy + log_q,
                "score_gap": (real_score - fake_score).mean(),
                "gradient_penalty": penalty,
            },
        )

    def encode(params, carry, images, step):
        return model.encode(params, carry, images, step=step, train=False)[0]

    def trainable(params, step):
        turn = (step + 1) % jnp.maximum(jnp.round(critic_steps), 1.0) < 1.0
        return {"generator": turn.astype(jnp.float32), "critic": 1.0}

    return Objective(model.init, loss, encode, model.logits, error, trainable)


def _log_q(posterior: Posterior, codes: Array) -> Array:
    """Mean log density of the codes under the critic's posterior, nats."""
    log_q = gaussian.log_density(codes, posterior.mean[0], posterior.logvar[0])
    return log_q.sum(axis=-1).mean()


def _slope(model: Any, params: Any, images: Array) -> Array:
    """Norm of the score's gradient at each image, [B]; differentiable at zero too."""
    gradient = jax.grad(lambda x: model.criticise(params, x)[0].sum())(images)
    return jnp.sqrt(jnp.square(gradient).sum(axis=(1, 2, 3)) + 1e-12)
