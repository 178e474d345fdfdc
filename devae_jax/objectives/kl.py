"""Penalties on the KL divergence of each latent layer: pressures, capacities, schedules.

Each factory returns a `Term` with value [K] in nats; KL_i = sum over latents of
E_x KL(q(z_i|x) || N(0, I)).
"""

from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp

from devae_jax.objectives import schedules
from devae_jax.types import (
    Array,
    Capacities,
    Context,
    Duration,
    Hyper,
    Interval,
    Latents,
    Metrics,
    Number,
    Pressure,
    Pressures,
    Scalar,
    Term,
)

PositivePressure = Annotated[Number, Hyper(above=True, role="pressure")]
# One pressure a stage of training, not a layer: [G].
Stages = Annotated[Number, Hyper(per_stage=True, above=True, order="decreasing", role="pressure")]


def stateless(
    value_and_metrics: Callable[[Latents, Array], tuple[Array, Metrics]], *, per_image: bool = False
) -> Term:
    """A term without parameters or state from (latents, step) -> (value [K], metrics)."""

    def init(key):
        return {}, {}

    def apply(params, carry, latents, key, step):
        value, metrics = value_and_metrics(latents, step)
        return value, (carry, metrics)

    return Term(init=init, apply=apply, per_image=per_image)


def pressure(context: Context, *, betas: Pressures) -> Term:
    """beta_i KL_i: VAE (1), beta-VAE (one beta), DeVAE (beta_0 < beta_1 < ...).

    Kingma & Welling 2014; Higgins et al. 2017, Eq. 4; Wu et al., arXiv:2303.12959.

    Args:
      betas: one pressure a layer, increasing: later layers are narrower bottlenecks.
    """
    return stateless(lambda latents, step: _weigh(latents, betas), per_image=True)


def capacity(
    context: Context,
    *,
    capacities: Capacities,
    gamma: Scalar = 1000.0,
    start: Scalar = 0.0,
    anneal_steps: Duration = 0.0,
) -> Term:
    """gamma |KL_i - C_i|: the decremental bottleneck in its capacity form.

    Args:
      capacities: C_i in nats, one a layer, decreasing.
      gamma: weight.
      start: every layer's capacity at step 0.
      anneal_steps: steps over which the capacities go from `start` to C_i along a line;
        0 fixes them.
    """

    def value(latents: Latents, step: Array):
        kl = latents.kl.sum(axis=-1)
        target = schedules.linear(
            step, start=start, end=jnp.asarray(capacities), steps=anneal_steps
        )
        return gamma * jnp.abs(kl - target), {"capacity": jnp.broadcast_to(target, kl.shape)}

    return stateless(value)


def annealed(
    context: Context,
    *,
    c_max: Scalar = 25.0,
    gamma: Scalar = 1000.0,
    anneal_steps: Duration = 100_000.0,
) -> Term:
    """gamma |KL - C(t)|, C(t) = min(c_max, t c_max / anneal_steps): AnnealedVAE (CCI-VAE).

    Burgess et al. 2018, Eq. 8. A function of the step t = 0, 1, ...; the DeVAE code counts
    calls from 1 instead, which is this schedule one step ahead.
    """
    return capacity(context, capacities=c_max, gamma=gamma, anneal_steps=anneal_steps)


def cascade(
    context: Context,
    *,
    beta_min: Pressure = 1.0,
    beta_max: Pressure = 10.0,
    stage_steps: Interval = 15_000.0,
) -> Term:
    """sum_d beta_d KL_d, beta_d low for released latents and high for the rest: CascadeVAE-C.

    Jeong & Song 2019. Latent d is released at step d * stage_steps, the first
    one from the start. Continuous latents only.
    """

    def value(latents: Latents, step: Array):
        released = schedules.stage(step, interval=stage_steps) + 1
        latent = jnp.arange(latents.kl.shape[-1])
        betas = jnp.where(latent < released, beta_min, beta_max)
        num_layers, dim = latents.kl.shape
        metrics = {"released": jnp.minimum(released, dim)}
        return (jnp.broadcast_to(betas, (num_layers, dim)) * latents.kl).sum(axis=-1), metrics

    return stateless(value, per_image=True)


def exponential_annealing(
    context: Context,
    *,
    beta: PositivePressure = 150.0,
    temperature: Scalar = 6.0,
    warmup_steps: Duration = 10_000.0,
    anneal_steps: Interval = 200_000.0,
) -> Term:
    """beta(t) KL, beta(t) = max(1, beta exp(-temperature (1 - t))): a rising pressure.

    t goes from 0 to 1 over `anneal_steps` after `warmup_steps`. From the DeVAE authors'
    code; not published.
    """

    def value(latents: Latents, step: Array):
        raised = schedules.exponential(
            step - warmup_steps, end=beta, temperature=temperature, steps=anneal_steps
        )
        return _weigh(latents, jnp.maximum(raised, 1.0))

    return stateless(value, per_image=True)


def deft_pressure(context: Context, *, betas: Stages, stage_steps: Interval) -> Term:
    """beta_g KL in stage g of training, beta_0 > beta_1 > ...: DEFT.

    Wu et al. 2022 ("DEFT: Distilling Entangled Factors by Preventing Information
    Diffusion"). Pairs with the staged encoder, which trains one sub-encoder a stage.

    Args:
      betas: [G], one pressure a stage; the last one stays.
      stage_steps: length of a stage, to be that of the staged model.
    """

    def value(latents: Latents, step: Array):
        by_stage = jnp.asarray(betas)
        stage = jnp.minimum(schedules.stage(step, interval=stage_steps), len(by_stage) - 1)
        return _weigh(latents, by_stage[stage])

    return stateless(value, per_image=True)


def _weigh(latents: Latents, betas: Number) -> tuple[Array, Metrics]:
    kl = latents.kl.sum(axis=-1)
    betas = jnp.broadcast_to(jnp.asarray(betas, kl.dtype), kl.shape)
    return betas * kl, {"beta": betas}
