"""DEFT's stages: what learns, what rests, and that nothing of it is lost on the way."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devae_jax.models import staged
from devae_jax.objectives import kl
from devae_jax.objectives.elbo import elbo
from devae_jax.training import optim
from devae_jax.training import step as training
from devae_jax.training.checkpoint import Checkpoints
from devae_jax.types import Context, Source

pytestmark = pytest.mark.xdist_group("staged")  # what its tests share is made once

STAGE = 3
MLP = {"encoder": "mlp", "decoder": "mlp", "width": 8, "group_width": 4}
CONTEXT = Context((8, 8, 1), latent_dim=6)


def program():
    """DEFT in three groups of two latents."""

    def objective(hparams, layout):
        model = staged(CONTEXT, groups=3, stage_steps=STAGE, **MLP)
        pressure = kl.deft_pressure(CONTEXT, betas=jnp.asarray([9.0, 3.0, 1.0]), stage_steps=STAGE)
        return elbo(CONTEXT, model, {"kl": pressure})

    images = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))
    source = Source(None, lambda arrays, key, step, shard: {"image": images}, 4, 4)
    return training.Program(
        objective, lambda hparams, mask, step: optim.optimizer(mask, step, {}, {}), source
    )


@functools.cache
def run():
    """(step function, states at steps 0, 1, ..., 3 stages)."""
    hparams = {"seed": jnp.uint32(0)}
    step = jax.jit(lambda state: training.train_step(program(), hparams, state, None))
    states = [jax.jit(functools.partial(training.init, program()))(hparams)]
    for _ in range(3 * STAGE):
        states.append(step(states[-1])[0])
    return step, states


def parts(state, group):
    """Parameters of a group, and its optimiser's state: Adam's moments and count."""
    owner = f"['model']['encoder']['group_{group}']"
    optimiser = state.opt_state.inner_states[owner].inner_state.inner_state
    return state.params["model"]["encoder"][f"group_{group}"], optimiser


def same(a, b):
    return [np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)]


@pytest.mark.parametrize("group", range(3))
def test_a_group_moves_in_its_own_stage_and_never_else(group):
    _, states = run()
    for step, (before, after) in enumerate(itertools.pairwise(states)):
        unchanged = same(parts(before, group), parts(after, group))
        assert not any(unchanged) if step // STAGE == group else all(unchanged)


def test_projections_move_once_their_group_is_frozen():
    _, states = run()
    for step, (before, after) in enumerate(itertools.pairwise(states)):
        for name in ("w1", "w2"):
            old, new = (s.params["model"]["projections"][name] for s in (before, after))
            frozen = min(step // STAGE, 2)
            assert np.all(old[:frozen] != new[:frozen])
            assert np.all(new[frozen:] == 0)


def test_resumes_in_the_middle_of_a_stage(tmp_path):
    step, states = run()
    middle = STAGE + 1
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(middle, states[middle], {"data": {}, "config": {}, "members": []})
    checkpoints.close()
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), states[0]
    )
    state = Checkpoints(tmp_path).restore(lambda meta: abstract).state
    for _ in range(3 * STAGE - middle):
        state, _ = step(state)
    assert all(same((state.params, state.opt_state), (states[-1].params, states[-1].opt_state)))


def test_later_groups_are_the_prior():
    model = staged(CONTEXT, groups=3, stage_steps=STAGE, **MLP)
    images = jnp.linspace(0, 1, 128).reshape(2, 8, 8, 1)
    params, carry = jax.jit(model.init)(jax.random.key(0))
    encode = jax.jit(lambda p, t: model.encode(p, carry, images, step=t, train=True)[0])
    for step in range(3 * STAGE + 5):
        posterior = encode(params, step)
        known = 2 * (min(step // STAGE, 2) + 1)
        for x in (posterior.mean, posterior.logvar):
            assert x.shape == (1, 2, 6)
            assert np.all(x[..., :known] != 0)
            assert np.all(x[..., known:] == 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"groups": 3}, "groups=3 for latent_dim=10, expected a divisor"),
        ({"groups": 0}, "groups=0"),
        ({"num_layers": 3}, "num_layers=3, expected 1"),
        ({"encoder": "cnv"}, "did you mean 'conv'"),
    ],
)
def test_says_what_it_cannot_build(change, message):
    with pytest.raises(ValueError, match=message):
        staged(Context((32, 32, 1), 10, change.pop("num_layers", 1)), **change)
