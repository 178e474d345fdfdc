"""Trajectories of the reference controllers: beta, target and state over 2,000 steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.objectives import control
from devae_jax.types import Latents, Posterior
from tests.reference import CONTEXT, FIXTURE

SEQUENCES = {
    "A": lambda t: 30 * np.exp(-t / 400) + 5 + 2 * np.sin(t / 50),
    "C": lambda t: 3 + 17 * t / 2000 + 3 * np.sin(t / 30),
    "E": lambda t: np.where(t < 1500, SEQUENCES["C"](t), 40),
}
CONTROLLERS = {
    "control_vae": (
        lambda h: control.control_vae(
            CONTEXT,
            target=h["C"],
            start=h["init_C"],
            target_steps=h["total_steps"],
            interval_steps=h["step_iteration"],
            k_p=h["Kp"],
            k_i=-h["Ki"],
        ),
        lambda metrics, carry: (metrics["beta"], metrics["target"], carry["integral"]),
    ),
    "dynamic_vae": (
        lambda h: control.dynamic_vae(
            CONTEXT,
            target=h["C"],
            target_steps=h["total_steps"],
            interval_steps=h["K"],
            k_p=h["K_p"],
            k_i=h["K_i"],
            smoothing=h["alpha"],
            beta_start=h["beta_init"],
            beta_min=h["beta_min"],
            proportional="clipped",
        ),
        lambda metrics, carry: (
            metrics["beta"],
            metrics["target"],
            -carry["error"],
            carry["kl"],
        ),
    ),
}


@pytest.mark.parametrize(("precision", "rtol"), [("float32", 2e-4), ("float64", 1e-11)])
@pytest.mark.parametrize("name", CONTROLLERS)
def test_controllers(name, precision, rtol):
    """All trajectories of 2,000 steps at once: every hyperparameter is a batched tracer."""
    with jax.enable_x64(precision == "float64"):
        check(name, rtol)


def check(name, rtol):
    factory, columns = CONTROLLERS[name]
    cases = FIXTURE["controllers"][name]
    hyper = {
        key: jnp.asarray([float(case["hyper"][key]) for case in cases]) for key in cases[0]["hyper"]
    }
    t = np.arange(2000)
    sequences = jnp.asarray(np.stack([SEQUENCES[case["sequence"]](t) for case in cases]))

    def trajectory(hyper, sequence):
        term = factory(hyper)
        posterior = Posterior(mean=jnp.zeros((1, 1, 1)), logvar=jnp.zeros((1, 1, 1)))

        def step(carry, xs):
            observed = Latents(posterior=posterior, z=posterior.mean, kl=xs[0][None, None])
            _, (carry, metrics) = term.apply({}, carry, observed, None, xs[1])
            return carry, jnp.stack(columns(metrics, carry))[:, 0]

        return jax.lax.scan(step, term.init(None)[1], (sequence, jnp.asarray(t)))[1]

    rows = jax.jit(jax.vmap(trajectory))(hyper, sequences)
    for ours, case in zip(rows, cases, strict=True):
        expected = np.asarray(case["rows"])
        got = ours[expected[:, 0].astype(int)]
        scale = np.max(np.abs(expected[:, 1:]), axis=0, keepdims=True)
        assert np.max(np.abs(got - expected[:, 1:]) / scale) < rtol
