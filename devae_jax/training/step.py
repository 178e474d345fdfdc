"""One training step, the same for every method."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from devae_jax import rng
from devae_jax.training.platform import precision_on
from devae_jax.types import Batch, Carry, Metrics, Objective, Params, Shard, Source, TrainState

Hparams = dict[str, Any]  # config path -> array: every number that may differ between runs


class Layout(NamedTuple):
    """Where a step runs: which part of the batch this device has, and on what platform.

    axis_name: the mapped axis over which the batch is split, None where it is not
    micro: which part of the device's rows is computed, where gradients are accumulated
    """

    shard: Shard = Shard()
    axis_name: str | None = None
    platform: str = "cpu"
    micro: Shard = Shard()


class Program(NamedTuple):
    """A method with all shapes fixed and all numbers open: what gets compiled once.

    objective(hparams, layout) -> Objective
    optimizer(hparams, mask, step) -> optimiser, `mask` from `Objective.trainable`
    source: where batches come from
    precision: of float32 matrix products and convolutions, a name in `platform.PRECISIONS`
    micro_batches: parts in which a device computes its rows of a batch, one after another
    skip: leave the state as it was where a loss or gradient is not finite, and count it
    """

    objective: Callable[[Hparams, Layout], Objective]
    optimizer: Callable[[Hparams, Any, Any], optax.GradientTransformationExtraArgs]
    source: Source
    precision: str = "auto"
    skip: bool = False
    micro_batches: int = 1

    def precisely(self, function: Callable[..., Any], platform: str) -> Callable[..., Any]:
        """`function`, traced with this precision for a platform, its gradients included."""

        @functools.wraps(function)
        def traced(*args):
            with jax.default_matmul_precision(precision_on(platform, self.precision)):
                return function(*args)

        return traced


def init(program: Program, hparams: Hparams) -> TrainState:
    """The state before the first step; a pure function of `hparams["seed"]`."""
    key = rng.seed(hparams["seed"])
    objective = program.objective(hparams, Layout())
    params, carry = objective.init(rng.stream(key, "init"))
    step = jnp.int32(0)
    optimizer = program.optimizer(hparams, objective.trainable(params, step), step)
    return TrainState(
        step=step, params=params, carry=carry, opt_state=optimizer.init(params), key=key
    )


def train_step(
    program: Program,
    hparams: Hparams,
    state: TrainState,
    arrays: Any,
    layout: Layout = Layout(),  # noqa: B008
) -> tuple[TrainState, Metrics]:
    """Batch, loss and gradients, update. Players move simultaneously.

    Everything random is a function of (seed, step), so that a restored state goes on
    exactly as if it had never stopped.
    """
    objective = program.objective(hparams, layout)
    batch = program.source.take(arrays, rng.stream(state.key, "data"), state.step, layout.shard)
    if program.micro_batches == 1:
        carry, metrics, grads = _gradients(program, hparams, state, batch, layout)
    else:
        carry, metrics, grads = _accumulated(program, hparams, state, batch, layout)
    if layout.axis_name is not None:  # numbers of one type: one message
        grads, metrics = jax.lax.pmean((grads, metrics), layout.axis_name)

    mask = objective.trainable(state.params, state.step)
    # XLA:GPU joins the updates of parameters of one shape where they share more than scalars.
    numbers = _as_one(hparams) if layout.platform == "gpu" else hparams
    updates, opt_state = program.optimizer(numbers, mask, state.step).update(
        grads, state.opt_state, state.params
    )
    # Outside XLA:CPU every sum of a leaf is a kernel or two: one vector is one sum.
    parts = grads if layout.platform == "cpu" else ravel_pytree(grads)[0]
    metrics["grad_norm"] = optax.global_norm(parts)
    params = optax.apply_updates(state.params, updates)
    learned = (params, carry, opt_state)
    if program.skip:
        before = (state.params, state.carry, state.opt_state)
        learned, metrics = _unless_finite(before, learned, metrics)
    params, carry, opt_state = learned
    return TrainState(
        step=state.step + 1, params=params, carry=carry, opt_state=opt_state, key=state.key
    ), metrics


def _gradients(
    program: Program, hparams: Hparams, state: TrainState, batch: Batch, layout: Layout
) -> tuple[Carry, Metrics, Params]:
    """Of the loss on a batch, or on that part of it that is `layout.micro`."""
    loss = program.objective(hparams, layout).loss
    key = rng.stream(state.key, "loss", state.step)
    grads_of = program.precisely(jax.value_and_grad(loss, has_aux=True), layout.platform)
    (_, (carry, metrics)), grads = grads_of(state.params, state.carry, batch, key, state.step)
    return carry, jax.tree.map(jnp.float32, metrics), grads


def _accumulated(
    program: Program, hparams: Hparams, state: TrainState, batch: Batch, layout: Layout
) -> tuple[Carry, Metrics, Params]:
    """`_gradients` of a loss that is a mean over images, as the mean over parts of the batch."""
    parts = program.micro_batches
    rows = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

    def part(position: Any) -> tuple[Metrics, Params]:
        here = layout._replace(micro=Shard(position, parts))
        mine = jax.tree.map(lambda x: x[position], rows)
        return _gradients(program, hparams, state, mine, here)[1:]

    def add(total: Any, position: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, part(position)), None

    # A loop: side by side, parts would be computed together and save no memory.
    total, _ = jax.lax.scan(add, part(0), jnp.arange(1, parts))
    metrics, grads = jax.tree.map(lambda x: x / parts, total)
    return state.carry, metrics, grads


def _as_one(numbers: Hparams) -> Hparams:
    """The same numbers; all float32 scalars are parts of one vector in memory."""
    scalars = {
        name: x for name, x in numbers.items() if jnp.shape(x) == () and x.dtype == jnp.float32
    }
    if not scalars:
        return numbers
    vector = jax.lax.optimization_barrier(jnp.stack(list(scalars.values())))
    return numbers | dict(zip(scalars, vector, strict=True))


def _unless_finite(before: Any, after: Any, metrics: Metrics) -> tuple[Any, Metrics]:
    """`after` a step with a finite loss and gradient, else `before` and NaN for each metric."""
    watched = [value for name, value in metrics.items() if is_watched(name)]
    good = jnp.array([jnp.isfinite(value).all() for value in watched]).all()
    kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, before)
    shown = {name: jnp.where(good, value, jnp.nan) for name, value in metrics.items()}
    return kept, shown | {"skipped": 1.0 - jnp.float32(good)}


def is_watched(metric: str) -> bool:
    """Whether a step is bad where this metric is not finite."""
    return metric in ("loss", "grad_norm") or metric.startswith("loss/")
