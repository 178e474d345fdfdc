"""Runs the step on devices: one engine for jit and pmap, for one run and for a population.

The step is mapped over a mesh ("member", "data"): scanned over steps, `vmap`ped or looped over
the members that a device holds, and mapped over devices by `shard_map`, or by `pmap`, which is the
same function under the older launcher. A run alone is a mesh with one group. Devices of a group
split each batch and every device computes its part alone, but for the latents, which are
gathered, and the gradients, which are averaged: a split left to the compiler would be undone at
the first reshape.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from devae_jax.names import lookup
from devae_jax.training.chunks import DATA, HELD, as_one, by_device, placed, read_ahead
from devae_jax.training.memory import Memory, limit_of, on_a_device
from devae_jax.training.platform import Form, form_of, quickly
from devae_jax.training.step import Hparams, Layout, Program, init, train_step
from devae_jax.training.trees import fetch, part, scan
from devae_jax.types import Metrics, Shard, TrainState

MODES = ("jit", "pmap")
MEMBER = "member"  # the other axis of the mesh is DATA, over which a batch is split


class Engine(NamedTuple):
    """A program bound to devices.

    State is a tree of global arrays with the shardings of `abstract`, in either mode and for
    any number of processes; that of a population is [M, ...], its metrics [count, M, ...].

    init() -> state
    advance(state, step, count) -> (state after `count` steps, host metrics [count, ...]);
        `step` is the host's copy of state.step; the state passed in is donated
    abstract: the state's shapes and shardings, to restore a checkpoint into
    memory(step, count) -> what `advance` needs of each device; compiles it
    member(state, index) -> the state of one run, on this process's first device; `index` is
        None for a run alone. All processes call it together.
    members: M, None for a run alone
    """

    init: Callable[[], TrainState]
    advance: Callable[[TrainState, int, int], tuple[TrainState, Metrics]]
    abstract: TrainState
    member: Callable[[TrainState, int | None], TrainState]
    memory: Callable[[int, int], Memory]
    members: int | None = None


def mesh_of(devices: Sequence[jax.Device], members: int | None = None, mode: str = "jit") -> Mesh:
    """Groups of devices, each with members of its own, that split the members evenly.

    With at least as many members as devices, the most devices that divide the members; with
    fewer, one group a member, whose devices split the batch. Devices that would break the
    balance stay idle: `sweep.split` makes parts that leave none. Under pmap, which maps one
    axis, all devices are one group: each has every member and splits the batch.
    """
    count = len(devices)
    groups, shards = 1, count
    if members is not None and mode == "jit":
        groups = max(n for n in range(1, min(members, count) + 1) if members % n == 0)
        shards = count // groups if members < count else 1
    return jax.make_mesh(
        (groups, shards),
        (MEMBER, DATA),
        axis_types=(AxisType.Auto,) * 2,
        devices=list(devices)[: groups * shards],
    )


class Steps(NamedTuple):
    """`length` steps (None: one, without a loop) of a program on a mesh; `batched` as in `Form`."""

    program: Program
    mesh: Mesh
    mode: str = "jit"
    members: int | None = None
    length: int | None = None
    batched: bool = True

    @property
    def spec(self) -> PartitionSpec:
        """How state, numbers and metrics are split."""
        return PartitionSpec() if self.members is None else PartitionSpec(MEMBER)

    @property
    def streaming(self) -> bool:
        """Whether batches come from the host."""
        return self.program.source.host_batches is not None

    @property
    def data_spec(self) -> PartitionSpec:
        """Tables go to every device; a chunk [T, B, ...] of streamed batches is split over B."""
        return PartitionSpec(None, DATA) if self.streaming else PartitionSpec()

    def function(self) -> Callable:
        """(hparams, state, arrays) -> (state, metrics) on one device of the mesh."""
        shards = self.mesh.shape[DATA]
        platform = self.mesh.devices.flat[0].platform

        def one(hparams, state, arrays):
            layout = Layout(platform=platform)
            if shards > 1:
                layout = Layout(Shard(jax.lax.axis_index(DATA), shards), DATA, platform)

            def step(state, _):
                return train_step(self.program, hparams, state, arrays, layout)

            return step(state, None) if self.length is None else scan(step, state, self.length)

        def in_turn(hparams, state, arrays):
            return jax.lax.map(lambda member: one(member[0], member[1], arrays), (hparams, state))

        if self.members is None:
            return one
        return jax.vmap(one, in_axes=(0, 0, None)) if self.batched else in_turn

    def compiled(self) -> "Compiled":
        """The same on global arrays; the state is donated."""
        if self.mode == "pmap":
            return Pmapped(self)
        mapped = jax.shard_map(
            self.function(),
            mesh=self.mesh,
            in_specs=(self.spec, self.spec, self.data_spec),
            out_specs=(self.spec, self.spec),
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=1)

    def lower(self, hparams: Hparams) -> Any:
        """This program with its shapes, lowered for its devices, which need not be here."""
        source = self.program.source
        arrays = source.arrays
        if source.host_batches is not None:
            arrays = source.host_batches(0, self.length or 1)
            arrays = by_device(arrays, self.mesh) if self.mode == "pmap" else arrays
        return self.compiled().lower(
            _shapes(hparams, NamedSharding(self.mesh, self.spec)),
            self.abstract(hparams),
            _shapes(arrays, NamedSharding(self.mesh, self.data_spec)),
        )

    def start(self) -> Callable[[Hparams], TrainState]:
        """hparams -> the state before the first step."""
        first = functools.partial(init, self.program)
        return first if self.members is None else jax.vmap(first)

    def abstract(self, hparams: Hparams) -> TrainState:
        """Shapes and shardings of the state."""
        shapes = jax.eval_shape(self.start(), hparams)
        return _shapes(shapes, NamedSharding(self.mesh, self.spec))


class Compiled(Protocol):
    """A program that compiles when it is first called, or for shapes alone."""

    def __call__(self, hparams: Any, state: Any, arrays: Any, /) -> tuple[TrainState, Metrics]: ...

    def lower(self, *args: Any, **kwargs: Any) -> Any: ...


class Pmapped:
    """Steps under pmap, which takes global arrays and gives this process's part of them."""

    def __init__(self, steps: Steps):
        function, devices = steps.function(), list(steps.mesh.devices.flat)
        self._mesh, self._streaming = steps.mesh, steps.streaming
        self._call: Any = jax.pmap(
            lambda hparams, state, arrays, _: function(hparams, state, arrays),
            axis_name=DATA,
            in_axes=(None, None, 1 if steps.streaming else None, 0),
            out_axes=None,
            devices=devices,
            donate_argnums=1,
        )
        here = sum(device.process_index == jax.process_index() for device in devices)
        self._index = np.zeros(here, np.int32)  # pmap wants an argument to map over

    def __call__(self, hparams: Any, state: Any, arrays: Any) -> tuple[TrainState, Metrics]:
        done = self._call(hparams, state, arrays, self._index)
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        return jax.tree.map(functools.partial(_global, sharding=everywhere), done)

    def lower(self, hparams: Any, state: Any, arrays: Any) -> Any:
        return self._call.lower(hparams, state, arrays, self._index)


def _global(leaf: Any, sharding: NamedSharding) -> Any:
    """A replicated array of this process as one of all processes; nothing is copied."""
    here = [shard.data for shard in leaf.addressable_shards]
    return jax.make_array_from_single_device_arrays(leaf.shape, sharding, here)


def _shapes(tree: Any, sharding: NamedSharding) -> Any:
    """What a tree of arrays looks like, placed so."""

    def shape(leaf):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        return jax.ShapeDtypeStruct(np.shape(leaf), dtype, sharding=sharding)

    return jax.tree.map(shape, tree)


def engine(
    program: Program,
    hparams: Hparams,
    *,
    members: int | None = None,
    mode: str = "jit",
    devices: Sequence[jax.Device] | None = None,
    form: Form | None = None,
) -> Engine:
    """Binds `program` with its numbers to `devices` (default: all).

    Args:
      hparams: of a population of M `members`, stacked: see `stack`.
      form: default `form_of` the devices.

    Raises:
      ValueError: unknown mode, or a batch size that the devices do not divide.
    """
    devices = list(devices or jax.devices())
    lookup(dict.fromkeys(MODES), mode, "parallel.mode")
    form = form or form_of(devices[0])
    in_turn = members is not None and not form.together
    mesh = mesh_of(devices, None if in_turn else members, mode)
    steps = Steps(program, mesh, mode, members, batched=form.batched)
    _check(program, mesh, members)
    sharding, table_sharding = (NamedSharding(mesh, spec) for spec in (steps.spec, PartitionSpec()))
    hparams = jax.device_put(jax.tree.map(jnp.asarray, hparams), sharding)
    tables = None if steps.streaming else jax.device_put(program.source.arrays, table_sharding)
    one = steps._replace(members=None) if in_turn else steps
    shapes = steps.abstract(hparams)
    compiled = functools.cache(lambda n, mode=mode: one._replace(length=n, mode=mode).compiled())

    host_batches = program.source.host_batches
    arrays_of = (
        (lambda step, count: tables)
        if host_batches is None
        else read_ahead(lambda step, count: placed(host_batches(step, count), mesh, mode))
    )

    def run(hparams, state, step, count):
        """`count` steps of a run, or of a population in one program."""
        arrays = arrays_of(step, count)
        if form.scan:
            state, metrics = compiled(count)(hparams, state, arrays)
            return state, fetch(metrics)
        rows = []
        for _ in range(count):  # dispatched ahead; metrics are read once at the end
            state, row = compiled(None)(hparams, state, arrays)
            rows.append(row)
        return state, jax.tree.map(lambda *leaves: np.stack(leaves), *fetch(rows))

    pick = jax.jit(part, out_shardings=NamedSharding(mesh, PartitionSpec()))
    join = jax.jit(
        lambda states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states),
        out_shardings=sharding,
    )

    def turns(state, step, count):
        done = [run(pick(hparams, i), pick(state, i), step, count) for i in range(members or 0)]
        states, metrics = zip(*done, strict=True)
        return join(list(states)), jax.tree.map(lambda *x: np.stack(x, axis=1), *metrics)

    def advance(state, step, count):
        if in_turn:
            return turns(state, step, count)
        state, metrics = run(hparams, state, step, count)
        if members is not None and form.scan:  # [M, count, ...]
            metrics = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), metrics)
        return state, metrics

    def memory(step, count):
        arrays, numbers = arrays_of(step, count), pick(hparams, 0) if in_turn else hparams
        everywhere = as_one(arrays, mesh) if steps.streaming and mode == "pmap" else arrays
        how: tuple[str, ...] = ()
        if jax.process_count() > 1:  # there pmap lowers no shapes: the same step under jit
            how, arrays = ("jit",), everywhere
        lower = compiled(count if form.scan else None, *how).lower
        program: Any = lower(numbers, one.abstract(numbers), arrays).compile()
        temporary = program.memory_analysis().temp_size_in_bytes
        # Under pmap the chunk read ahead waits on the host; it is counted there too: at most this.
        tables = on_a_device(everywhere) * (HELD if steps.streaming else 1)
        return Memory(tables, on_a_device(shapes), temporary, limit_of(devices[0]))

    def member(state, index):
        whole = state if index is None else pick(state, index)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)

    start = jax.jit(steps.start(), out_shardings=sharding, compiler_options=quickly(devices[0]))
    return Engine(lambda: start(hparams), advance, shapes, member, memory, members)


def _check(program: Program, mesh: Mesh, members: int | None) -> None:
    shards, batch_size = mesh.shape[DATA] * program.micro_batches, program.source.batch_size
    if batch_size % shards:
        raise ValueError(
            f"got batch_size={batch_size} on {mesh.size} devices"
            + (f" for {members} members" if members else "")
            + (f" in {program.micro_batches} parts" if program.micro_batches > 1 else "")
            + f", expected a multiple of {shards}; fix batch_size or parallel.devices"
        )
    if program.source.host_batches and mesh.shape[MEMBER] > 1 and jax.process_count() > 1:
        raise ValueError(
            "got a population over many processes whose batches are read from disk, expected "
            "one process or data on the device; start a sweep on every host, or use "
            "parallel.mode='pmap'"
        )
