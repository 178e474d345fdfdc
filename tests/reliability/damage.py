"""A tiny run's checkpoints, and all that may happen to a file."""

import jax
import jax.numpy as jnp
import optax

from devae_jax.training.checkpoint import Checkpoints
from devae_jax.types import TrainState

META = {"config": {"seed": 3, "model": {"latent_dim": 4}}, "members": [], "data": {"name": "toy"}}
STEPS = (50, 100)


def state_of(step):
    """As large as a tiny run's, other numbers at each step."""
    keys = iter(jax.random.split(jax.random.key(step), 4))
    params = {
        "model": {
            "kernel": jax.random.normal(next(keys), (40, 30)),
            "bias": jax.random.normal(next(keys), (30,)),
        },
        "tc": {"kernel": jax.random.normal(next(keys), (30, 2))},
    }
    return TrainState(
        step=jnp.int32(step),
        params=params,
        carry={"integral": jax.random.normal(next(keys), (3,))},
        opt_state=optax.adam(1e-3).init(params),
        key=jax.random.key(3),
    )


def write(directory, meta=META, steps=STEPS):
    checkpoints = Checkpoints(directory)
    for step in steps:
        checkpoints.save(step, state_of(step), meta)
    checkpoints.close()


def abstract(meta):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)  # noqa: E731
    return jax.tree.map(shape, state_of(STEPS[0]))


def leaves(state):
    """Everything of a state as numbers."""
    return [
        jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves(state)
    ]


def hurt(file, kind, rng):
    """One damage to a file; the words say which."""
    content = bytearray(file.read_bytes())
    place = int(rng.integers(max(len(content), 1)))
    if kind == "deleted":
        file.unlink()
    elif kind == "emptied":
        file.write_bytes(b"")
    elif kind == "truncated":
        file.write_bytes(content[:place])
    elif kind == "overwritten":
        length = int(rng.integers(1, 64))
        content[place : place + length] = rng.bytes(length)
        file.write_bytes(content)
    elif content:  # one bit
        content[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
    return f"{kind} {file.name} at {place}"


KINDS = ("deleted", "emptied", "truncated", "overwritten", "flipped")
