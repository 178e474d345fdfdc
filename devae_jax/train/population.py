"""Many runs in one program: members differ in their numbers and never communicate.

State and hyperparameters have a leading member axis [M, ...]. On accelerators the program is
`shard_map(vmap(scan(step)))` over the mesh ("member", "data"): each device group trains its own
members, and where devices outnumber members the rest split the batch. On CPU members take turns
with one compiled step, which XLA:CPU runs faster than their batched convolutions.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from devae_jax.train import parallel
from devae_jax.train.parallel import AXIS, Engine
from devae_jax.train.step import Hparams, Layout, Program, init, train_step
from devae_jax.types import Shard

MEMBER = "member"


def stack(hparams: Sequence[Hparams]) -> Hparams:
    """One set of numbers with a leading member axis from those of M members."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *hparams)


def size(hparams: Hparams) -> int:
    """M."""
    return len(jax.tree.leaves(hparams)[0])


def member(tree: Any, index: int) -> Any:
    """One member of anything stacked: state, hyperparameters, metrics."""

    def part(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # As numbers: JAX's key-reuse checker counts the slice of a key as its use.
            return jax.random.wrap_key_data(jax.random.key_data(leaf)[index])
        return leaf[index]

    return jax.tree.map(part, tree)


def mesh_of(members: int, devices: Sequence[jax.Device]) -> Mesh:
    """Device groups that share the members evenly: nobody communicates unless devices are left.

    With at least as many members as devices, the most devices that divide the members; with
    fewer, one group a member, whose devices split the batch. Devices that would break the
    balance stay idle: `sweep.split` makes parts that leave none.
    """
    count = len(devices)
    groups = max(n for n in range(1, min(members, count) + 1) if members % n == 0)
    shards = count // groups if members < count else 1
    return jax.make_mesh(
        (groups, shards),
        (MEMBER, AXIS),
        axis_types=(AxisType.Auto,) * 2,
        devices=list(devices)[: groups * shards],
    )


def engine(
    program: Program,
    hparams: Hparams,
    *,
    devices: Sequence[jax.Device] | None = None,
    fuse: bool | None = None,
) -> Engine:
    """Binds a population to devices; the interface of `parallel.engine`.

    Args:
      hparams: stacked, see `stack`.
      fuse: one program for all members (default on accelerators) or members in turn.
    """
    devices = list(devices or jax.devices())
    if jax.process_count() > 1:
        raise ValueError(
            f"got {jax.process_count()} processes, expected one: members never communicate, so "
            "start a sweep of its own on every host"
        )
    if parallel.fuses_steps(devices[0]) if fuse is None else fuse:
        return _fused(program, hparams, mesh_of(size(hparams), devices))
    return _in_turn(program, hparams, devices[0])


def _fused(program: Program, hparams: Hparams, mesh: Mesh) -> Engine:
    if program.source.batch_size % mesh.shape[AXIS]:
        raise ValueError(
            f"got batch_size={program.source.batch_size} for {size(hparams)} members on "
            f"{mesh.size} devices, expected a multiple of {mesh.shape[AXIS]}; fix one of them"
        )
    split = NamedSharding(mesh, PartitionSpec(MEMBER))
    everywhere = NamedSharding(mesh, PartitionSpec())
    hparams = jax.device_put(jax.tree.map(jnp.asarray, hparams), split)
    arrays = jax.device_put(program.source.arrays, everywhere)
    start = jax.jit(
        jax.vmap(functools.partial(init, program)),
        out_shardings=split,
        compiler_options=parallel.quickly(mesh.devices.flat[0]),
    )
    compiled = functools.cache(functools.partial(compile_steps, program, mesh))

    def advance(state, step, count):
        state, metrics = compiled(count)(hparams, state, arrays)
        metrics = jax.device_get(metrics)
        return state, jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), metrics)  # [count, M, ...]

    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split),
        jax.eval_shape(start, hparams),
    )
    return Engine(lambda: start(hparams), advance, abstract, members=size(hparams))


def compile_steps(program: Program, mesh: Mesh, count: int) -> Callable:
    """(hparams [M], state [M], arrays) -> (state [M], metrics [M, count]), `count` steps."""
    shards = mesh.shape[AXIS]

    def train_one(hparams, state, arrays):
        layout = Layout()
        if shards > 1:
            layout = Layout(Shard(jax.lax.axis_index(AXIS), shards), AXIS)
        return jax.lax.scan(
            lambda carry, _: train_step(program, hparams, carry, arrays, layout),
            state,
            length=count,
        )

    many = jax.vmap(train_one, in_axes=(0, 0, None))
    members, everywhere = PartitionSpec(MEMBER), PartitionSpec()
    sharded = jax.shard_map(
        many,
        mesh=mesh,
        in_specs=(members, members, everywhere),
        out_specs=(members, members),
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=1)


def _in_turn(program: Program, hparams: Hparams, device: jax.Device) -> Engine:
    count_members = size(hparams)
    arrays, hparams = jax.device_put((program.source.arrays, hparams), device)
    one_step = jax.jit(functools.partial(train_step, program), donate_argnums=1)
    own_hparams = [member(hparams, i) for i in range(count_members)]
    start = jax.jit(
        jax.vmap(functools.partial(init, program)), compiler_options=parallel.quickly(device)
    )
    part = jax.jit(lambda state: [member(state, i) for i in range(count_members)])
    join = jax.jit(lambda states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))

    def advance(state, step, count):
        advanced = [
            parallel.one_by_one(one_step, own, own_state, arrays, count)
            for own, own_state in zip(own_hparams, part(state), strict=True)
        ]
        states, metrics = zip(*advanced, strict=True)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *metrics)
        return join(list(states)), stacked

    sharding = jax.sharding.SingleDeviceSharding(device)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(start, hparams),
    )
    return Engine(lambda: start(hparams), advance, abstract, members=count_members)
