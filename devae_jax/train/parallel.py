"""Runs the step on devices: jit with a mesh or pmap, scanned or one by one.

Both modes run the same `train_step` and keep the state replicated, so that their
checkpoints are interchangeable and their losses equal.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from devae_jax.train.step import Hparams, Layout, Program, init, train_step
from devae_jax.types import Metrics, Shard, TrainState

MODES = ("jit", "pmap")
AXIS = "data"


class Engine(NamedTuple):
    """A program bound to devices.

    init() -> state
    advance(state, step, count) -> (state after `count` steps, host metrics [count, ...]);
        `step` is the host's copy of state.step; the state passed in is donated
    abstract: the state's shapes and shardings, to restore a checkpoint into
    members: M for a population, whose state is [M, ...] and metrics [count, M, ...]
    """

    init: Callable[[], TrainState]
    advance: Callable[[TrainState, int, int], tuple[TrainState, Metrics]]
    abstract: TrainState
    members: int | None = None


def fuses_steps(device: jax.Device) -> bool:
    """Whether to scan over steps: on accelerators, where a launch costs more than a loop.

    XLA:CPU runs convolutions in a loop body many times slower than single calls.
    """
    return device.platform != "cpu"


def quickly(device: jax.Device) -> dict[str, int] | None:
    """Compiler options for what runs once: XLA:CPU takes longer to optimise it than to run it."""
    return {"xla_backend_optimization_level": 0} if device.platform == "cpu" else None


def engine(
    program: Program,
    hparams: Hparams,
    *,
    mode: str = "jit",
    devices: Sequence[jax.Device] | None = None,
    fuse: bool | None = None,
) -> Engine:
    """Binds `program` with its numbers to `devices` (default: all).

    Raises:
      ValueError: unknown mode, or a batch size that the devices do not divide.
    """
    devices = list(devices or jax.devices())
    if mode not in MODES:
        raise ValueError(f"got parallel.mode={mode!r}, expected one of {MODES}; fix the config")
    if program.source.batch_size % len(devices):
        raise ValueError(
            f"got batch_size={program.source.batch_size} on {len(devices)} devices, expected a "
            "multiple; fix batch_size or parallel.devices"
        )
    mesh = jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)
    replicated = NamedSharding(mesh, PartitionSpec())
    hparams = jax.device_put(jax.tree.map(jnp.asarray, hparams), replicated)
    compiled = functools.cache(functools.partial(_compile, program, mode, devices, mesh))
    place = functools.partial(_place, mesh=mesh, mode=mode, streaming=program.source.streaming)
    tables = None if program.source.streaming else place(program.source.arrays)

    def advance(state, step, count):
        stream = program.source.host_batches
        arrays = tables if stream is None else place(stream(step, count))
        fused = fuses_steps(devices[0]) if fuse is None else fuse
        if fused:
            state, metrics = compiled(count)(hparams, state, arrays)
            return state, jax.device_get(metrics)
        return one_by_one(compiled(None), hparams, state, arrays, count)

    start = jax.jit(
        functools.partial(init, program),
        out_shardings=replicated,
        compiler_options=quickly(devices[0]),
    )
    shapes = jax.eval_shape(functools.partial(init, program), hparams)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), shapes
    )
    return Engine(init=lambda: start(hparams), advance=advance, abstract=abstract)


def one_by_one(
    step: Callable, hparams: Hparams, state: TrainState, arrays: Any, count: int
) -> tuple[TrainState, Metrics]:
    """`count` calls of a compiled step, dispatched ahead; metrics are read once at the end."""
    rows = []
    for _ in range(count):
        state, metrics = step(hparams, state, arrays)
        rows.append(metrics)
    return state, jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(rows))


def _compile(program: Program, mode: str, devices: list, mesh: Any, count: int | None) -> Callable:
    """`count` steps in one call, (hparams, state, arrays) -> (state, metrics); None: one."""

    def run(hparams, state, arrays, layout):
        if count is None:
            return train_step(program, hparams, state, arrays, layout)
        return jax.lax.scan(
            lambda carry, _: train_step(program, hparams, carry, arrays, layout),
            state,
            length=count,
        )

    if mode == "jit":
        split = NamedSharding(mesh, PartitionSpec(AXIS)) if len(devices) > 1 else None
        return jax.jit(functools.partial(run, layout=Layout(sharding=split)), donate_argnums=1)

    def shard(hparams, state, arrays, index):
        return run(hparams, state, arrays, Layout(Shard(index, len(devices)), AXIS))

    stream = 1 if program.source.streaming else None
    mapped = jax.pmap(
        shard,
        axis_name=AXIS,
        in_axes=(None, None, stream, 0),
        out_axes=None,  # type: ignore[arg-type]
        devices=devices,
        donate_argnums=1,
    )
    index = jax.device_put(np.arange(len(devices)), NamedSharding(mesh, PartitionSpec(AXIS)))
    return lambda hparams, state, arrays: mapped(hparams, state, arrays, index)


def _place(arrays: Any, *, mesh: Any, mode: str, streaming: bool) -> Any:
    """Tables go to every device; a chunk [T, B, ...] of streamed batches is split over B."""
    if not streaming:
        return jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))
    split = NamedSharding(mesh, PartitionSpec(None, AXIS))
    if mode == "pmap":
        local = mesh.local_mesh.size
        arrays = jax.tree.map(
            lambda x: x.reshape(x.shape[0], local, x.shape[1] // local, *x.shape[2:]), arrays
        )
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split, x), arrays)
