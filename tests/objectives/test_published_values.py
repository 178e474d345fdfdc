"""The numbers that configs call published, as the schedules and optimisers make them."""

import numpy as np
import pytest

from devae_jax.configs import control_vae, dynamic_vae, infogan
from devae_jax.objectives.schedules import staircase


def targets(terms, steps, ramp, shift=0.0):
    found = staircase(
        np.asarray(steps) + shift,
        start=terms.start,
        end=terms.target,
        steps=terms.target_steps,
        interval=terms.interval_steps,
        ramp=ramp,
    )
    return np.asarray(found)


def test_dynamic_vae_rises_by_ramps_of_the_authors_code():
    config = dynamic_vae.get_config("published")
    terms = config.objective.terms.kl
    steps = [0, 5_999, 6_000, 6_499, 6_999, 11_999, 12_999, 779_999, 780_999, 2_000_000]
    expected = [0.5, 0.5, 0.50015, 0.575, 0.65, 0.65, 0.8, 19.85, 20.0, 20.0]
    np.testing.assert_allclose(targets(terms, steps, terms.ramp_steps), expected, rtol=1e-5)
    assert (config.batch_size, terms.beta_start, terms.beta_min) == (128, 50.0, 0.1)
    assert (terms.k_p, terms.k_i) == (0.01, 0.005)


def test_a_stair_of_control_vae_is_what_its_text_says():
    terms = control_vae.get_config().objective.terms.kl
    found = targets(terms, 5_000 * np.arange(120), 1.0, terms.interval_steps)
    np.testing.assert_allclose(np.diff(found)[:117], 0.15, rtol=1e-3)
    np.testing.assert_allclose(found[[0, 117, 119]], [0.45, 18.0, 18.0], rtol=1e-5)


@pytest.mark.parametrize(("variant", "expected"), [("", (1.0, 0.5)), ("gulrajani", (5.0, 0.0))])
def test_infogan_has_the_critic_of_the_gradient_penalty(variant, expected):
    config = infogan.get_config(variant)
    assert (config.objective.critic_steps, config.optimizer.b1) == expected
    assert (config.objective.gradient_penalty, config.optimizer.b2) == (10.0, 0.9)
