"""The types that everything else plugs into.

One idea is repeated everywhere: a bundle of pure functions `(init, apply)`.
Data are frozen dataclasses registered as pytrees; bundles of functions are
NamedTuples. Nothing holds hidden state: what changes is passed in and returned.

Shapes: K latent layers, B images a batch, D latents, F factors, H x W x C pixels.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, dataclass_transform

import jax

Array = jax.Array
Params = Any  # nested dicts of arrays, one top-level entry for each owner
Carry = Any  # one dict keyed by owner: controller integrals, batch statistics, ...
Metrics = dict[str, Array]  # scalars, or [K] where NaN means "not measured this step"


class Hyper(NamedTuple):
    """How a numeric hyperparameter may be set; the annotation of a factory's argument.

    Arguments annotated so are traced: changing them never recompiles. All other
    arguments (int, str, bool) are static.
    """

    per_layer: bool = False  # one value a latent layer, [K]; a scalar is repeated
    lower: float | None = 0.0  # smallest value allowed
    exclusive: bool = False  # `lower` itself is not allowed
    order: str | None = None  # "increasing" or "decreasing" over the layers (or stages)
    per_stage: bool = False  # one value a stage of training, any number of them


Scalar = Annotated[Array, Hyper()]  # >= 0
Positive = Annotated[Array, Hyper(exclusive=True)]  # > 0
Real = Annotated[Array, Hyper(lower=None)]
Pressures = Annotated[Array, Hyper(per_layer=True, exclusive=True, order="increasing")]
Capacities = Annotated[Array, Hyper(per_layer=True, order="decreasing")]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _pytree(cls):
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


@_pytree
class Posterior:
    """Diagonal Gaussians q(z_i|x), one for every latent layer i.

    A classical VAE is the case K = 1.
    """

    mean: Array  # [K, B, D]
    logvar: Array  # [K, B, D], log of the variance, in nats


@_pytree
class Latents:
    """What a penalty may look at. Always the global batch, whatever the device count."""

    posterior: Posterior  # leaves [K, B, D]
    z: Array  # [K, B, D], one reparameterised sample a layer
    kl: Array  # [K, D], batch mean of KL(q(z_i|x) || N(0, I)) for each latent, nats


@_pytree
class TrainState:
    """All that a run needs to go on: the only thing that is checkpointed."""

    step: Array  # int32 scalar
    params: Params
    carry: Carry
    opt_state: Any
    key: Array  # the seed's key; never advanced, every stream folds the step in


class Model(NamedTuple):
    """An encoder-decoder with K >= 1 latent layers.

    init(key, images [B, H, W, C]) -> (params, carry)
    encode(params, carry, images, *, step, train) -> (Posterior [K, B, D], carry)
    decode(params, z [N, D], layer [N] int32) -> logits [N, H, W, C]
    trainable(params, step) -> pytree of 0/1 scalars, a prefix of params: which
        parameters the optimiser may move at this step (DEFT freezes sub-encoders)
    """

    init: Callable[..., tuple[Params, Carry]]
    encode: Callable[..., tuple[Posterior, Carry]]
    decode: Callable[..., Array]
    trainable: Callable[[Params, Array], Any] = lambda params, step: 1.0


class Gan(NamedTuple):
    """A `Model` (its first three functions) that is trained by two players.

    generate(params, codes [B, D], noise [B, Z]) -> logits [B, H, W, C]
    criticise(params, images) -> (score [B], Posterior [1, B, D] of the codes)
    """

    init: Callable[..., tuple[Params, Carry]]
    encode: Callable[..., tuple[Posterior, Carry]]
    decode: Callable[..., Array]
    generate: Callable[..., Array]
    criticise: Callable[..., tuple[Array, Posterior]]
    latent_dim: int
    noise_dim: int


class Term(NamedTuple):
    """One additive penalty, in nats, to be minimised beside the reconstruction error.

    init(key, latent_dim D, num_layers K) -> (params, carry)
    apply(params, carry, latents, key, step) -> (value [K], (carry, metrics))

    `value` has one entry for every latent layer, so that terms compose with any
    weighting of the layers. Terms without parameters or state use empty dicts.
    """

    init: Callable[..., tuple[Params, Carry]]
    apply: Callable[..., tuple[Array, tuple[Carry, Metrics]]]


class Objective(NamedTuple):
    """A scalar loss over one mini-batch, and what is learned by minimising it.

    init(key, images) -> (params, carry)
    loss(params, carry, images, key, step) -> (loss, (carry, metrics))
    encode(params, carry, images, step) -> Posterior [K, B, D], in evaluation mode
    decode(params, z [N, D], layer [N]) -> logits [N, H, W, C]
    trainable(params, step) -> prefix pytree of 0/1 with one entry a player, see `Model`

    The players are the entries of `params`. One gradient of `loss` serves all; a player whose
    aim is not the reported loss reports its own as the metric "player/loss".
    """

    init: Callable[..., tuple[Params, Carry]]
    loss: Callable[..., tuple[Array, tuple[Carry, Metrics]]]
    encode: Callable[..., Posterior]
    decode: Callable[..., Array]
    trainable: Callable[[Params, Array], Any] = lambda params, step: dict.fromkeys(params, 1.0)


class Shard(NamedTuple):
    """Which part of the global batch this device computes (index may be traced)."""

    index: Array | int = 0  # type: ignore[assignment]  # hides the tuple method
    count: int = 1  # type: ignore[assignment]


class Source(NamedTuple):
    """Mini-batches as a pure function of (arrays, key, step).

    arrays: pytree of device arrays, passed to the compiled step as arguments
    take(arrays, key, step, shard) -> images [B / shard.count, H, W, C] in [0, 1]
    size: number of distinct images
    streaming: arrays hold a chunk of host batches, refilled by the loop from
        host_batches(step, count) -> arrays of the `count` steps from `step` on, this
        process's rows: [count, B / processes, H, W, C]; the batch of step t at t % count
    """

    arrays: Any
    take: Callable[..., Array]
    size: int
    batch_size: int
    image_shape: tuple[int, int, int]
    streaming: bool = False
    host_batches: Callable[[int, int], Any] | None = None


class FactorGrid(NamedTuple):
    """The ground truth of a data set: a full grid of discrete generative factors.

    names: one for each factor
    sizes: number of values of each factor; row-major index, last factor fastest
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]


class Dataset(NamedTuple):
    """A data set with ground truth.

    observe(arrays, factors [N, F] int32) -> images [N, H, W, C] float32 in [0, 1],
        pure, to be called inside jit
    identity: what makes this data set this one (name, factors, hash); JSON-able,
        written into every checkpoint and every row of results
    draw(arrays, key, n) -> factors [n, F] int32: the training distribution, for
        correlated or held-out factors; None where it is uniform over the grid
    """

    name: str
    grid: FactorGrid
    image_shape: tuple[int, int, int]
    arrays: Any
    observe: Callable[[Any, Array], Array]
    identity: Mapping[str, Any]
    draw: Callable[[Any, Array, int], Array] | None = None
