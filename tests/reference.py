"""Inputs and results of the reference code for the objectives' parity tests.

`fixtures/objectives.json` holds float64 results of the DeVAE authors' PyTorch code and of
the beta-TCVAE authors' code. The three inputs are independent leaves: gradients exclude
the path from the posterior through the sample.
"""

import base64
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.objectives import gaussian
from devae_jax.types import Context, Latents, Posterior

FIXTURE = json.loads((pathlib.Path(__file__).parent / "fixtures" / "objectives.json").read_text())
LEAVES = ("z_mean", "z_logvar", "z_sampled")
PRECISIONS = {  # (rtol of values, tolerance of gradients relative to their maximum)
    "float32": (2e-5, 5e-5),
    "float64": (1e-11, 1e-11),
}
CONTEXT = Context((64, 64, 1), latent_dim=10)


def decode(text, dtype="<f8", shape=(16, 10)):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def inputs():
    dtype = jnp.zeros(0).dtype
    return {name: jnp.asarray(decode(FIXTURE["inputs"][name], "<f4"), dtype) for name in LEAVES}


def latents(z_mean, z_logvar, z_sampled):
    posterior = Posterior(mean=z_mean[None], logvar=z_logvar[None])
    return Latents(posterior=posterior, z=z_sampled[None], kl=gaussian.kl(posterior).mean(axis=1))


def value_of(term, step=0):
    """(leaves) -> value of a stateless term at one layer."""
    return lambda leaves: term.apply({}, {}, latents(**leaves), None, step)[0][0]


def at_steps(term, steps):
    """Values and gradients, leaves [S, ...], of a stateless term at each of the steps."""
    grad = jax.value_and_grad(lambda leaves, step: value_of(term, step)(leaves))
    return jax.jit(jax.vmap(grad, in_axes=(None, 0)))(inputs(), jnp.asarray(steps))


def check_grads(grads, expected, tolerance):
    for name in LEAVES:
        if name not in expected:
            assert not np.any(grads[name])
            continue
        want = decode(expected[name])
        error = np.max(np.abs(grads[name] - want)) / np.max(np.abs(want))
        assert error < tolerance, (name, error)
