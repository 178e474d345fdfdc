"""Controllers that set beta so that the KL divergence follows a target.

One controller a latent layer: state [K] in `carry`. beta comes from this step's KL but is
a constant for the gradient (the reference computes it from a number, not a tensor).
"""

import jax
import jax.numpy as jnp

from devae_jax.names import lookup
from devae_jax.objectives import schedules
from devae_jax.objectives.kl import PositivePressure
from devae_jax.types import (
    Array,
    Context,
    Duration,
    Fraction,
    Interval,
    Positive,
    Pressure,
    Rate,
    Scalar,
    Term,
)

# Proportional parts of DynamicVAE as functions of the error e = target - KL.
PROPORTIONAL = {
    "sigmoid": lambda e: jax.nn.sigmoid(-e),
    "clipped": lambda e: jnp.minimum(-e, 0.0),
}


def control_vae(
    context: Context,
    *,
    target: Positive = 18.0,
    start: Scalar = 0.5,
    target_steps: Interval = 600_000.0,
    interval_steps: Interval = 5_000.0,
    k_p: Rate = 0.01,
    k_i: Rate = 0.001,
    beta_min: Pressure = 1.0,
    beta_max: PositivePressure = 1e6,
) -> Term:
    """beta(t) KL with beta from a nonlinear PI controller: ControlVAE.

        beta(t) = beta_min + k_p sigmoid(-e(t)) + I(t),    I(t) = I(t-1) - k_i e(t),

    e = target(t) - KL, clipped to [beta_min, beta_max]. Shao et al. 2020, Algorithm 1.
    Anti-windup as published: I rests after a step whose unclipped beta was out of bounds,
    whatever the sign of e. A k_i that is large beside k_p can therefore lock beta at beta_min:
    as long as KL is below the first target, I falls until beta is out of bounds and rests there,
    and k_p alone can bring it back. What shortens a run scales both.

    Args:
      target: KL to reach, nats.
      start, target_steps, interval_steps: the target rises from `start` in equal stairs, one
        every `interval_steps` beginning with step 0. With `target_steps` below `interval_steps`
        there is one stair, at step 0.
      k_p, k_i: gains, both positive (Ki is negative in published code).
    """

    def init(key):
        return {}, {
            "integral": jnp.zeros(context.num_layers),
            "beta": jnp.full(context.num_layers, beta_min, float),
        }

    def apply(params, carry, latents, key, step):
        kl = latents.kl.sum(axis=-1)
        goal = schedules.staircase(
            step + schedules.whole(interval_steps),
            start=start,
            end=target,
            steps=target_steps,
            interval=interval_steps,
            ramp=1.0,
        )
        error = goal - jax.lax.stop_gradient(kl)
        inside = (carry["beta"] >= beta_min) & (carry["beta"] <= beta_max)
        integral = carry["integral"] - jnp.where(inside, k_i * error, 0.0)
        raw = beta_min + k_p * jax.nn.sigmoid(-error) + integral
        state = {"integral": integral, "beta": raw}
        return _act(kl, jnp.clip(raw, beta_min, beta_max), goal, state)

    return Term(init=init, apply=apply)


def dynamic_vae(
    context: Context,
    *,
    target: Positive = 18.0,
    start: Scalar = 0.0,
    target_steps: Interval = 200_000.0,
    interval_steps: Interval = 5_000.0,
    ramp_steps: Duration = 1.0,
    k_p: Scalar = 0.01,
    k_i: Rate = 0.001,
    smoothing: Fraction = 0.95,
    beta_start: PositivePressure = 150.0,
    beta_min: Pressure = 1.0,
    proportional: str = "sigmoid",
) -> Term:
    """beta(t) KL with beta from an incremental PI controller, from high beta down: DynamicVAE.

        beta(t) = max(beta_min, beta(t-1) + k_p (p(e(t)) - p(e(t-1))) - k_i e(t)),

    e = target(t) - y, y a moving average of KL. Shao et al. 2022, Algorithm 1. Adding to the
    clipped beta is an anti-windup in itself: beta leaves beta_min as soon as KL exceeds the target.
    The authors' code keeps the unclipped beta, and leaves k_i e out of its change while that is
    below beta_min: there the proportional part alone, at most k_p, can bring it back.

    Args:
      target: KL to reach, nats.
      start, target_steps, interval_steps, ramp_steps: the target rises from `start` in equal
        stairs, one after each `interval_steps`, over `ramp_steps` steps each (hybrid annealing).
      k_p, k_i: gains.
      smoothing: weight of the current KL in y. 0.95 as in the DeVAE code; the paper's mean
        of five values lags as much as 1/3.
      proportional: p, "sigmoid" (published) is sigmoid(-e), "clipped" (DeVAE code)
        min(-e, 0).

    Raises:
      ValueError: unknown `proportional`.
    """
    p = lookup(PROPORTIONAL, proportional, "proportional")

    def init(key):
        zeros = jnp.zeros(context.num_layers)
        beta = jnp.full(context.num_layers, beta_start, float)
        return {}, {"beta": beta, "kl": zeros, "error": zeros}

    def apply(params, carry, latents, key, step):
        kl = latents.kl.sum(axis=-1)
        goal = schedules.staircase(
            step,
            start=start,
            end=target,
            steps=target_steps,
            interval=interval_steps,
            ramp=ramp_steps,
        )
        average = smoothing * jax.lax.stop_gradient(kl) + (1.0 - smoothing) * carry["kl"]
        error = goal - average
        change = k_p * (p(error) - p(carry["error"])) - k_i * error
        beta = jnp.maximum(carry["beta"] + change, beta_min)
        return _act(kl, beta, goal, {"beta": beta, "kl": average, "error": error})

    return Term(init=init, apply=apply)


def _act(kl: Array, beta: Array, goal: Array, state: dict[str, Array]):
    metrics = {"beta": beta, "target": jnp.broadcast_to(goal, kl.shape)}
    return beta * kl, (state, metrics)
