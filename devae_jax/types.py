"""The types that everything else plugs into.

One idea is repeated everywhere: a bundle of pure functions `(init, apply)`.
Data are frozen dataclasses registered as pytrees; bundles of functions are
NamedTuples. What changes is passed in and returned.

Shapes: K latent layers, B images a batch, D latents, F factors, H x W x C pixels.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, dataclass_transform

import jax
import numpy as np

Array = jax.Array
Number = Array | float  # traced inside a compiled program, a Python number in a default
Params = Any  # nested dicts of arrays, one top-level entry for each owner
Carry = Any  # what a method remembers from step to step: controller integrals, batch statistics
Batch = Mapping[str, Array]  # "image" [B, H, W, C] in [0, 1], and what else a method asks for
Metrics = dict[str, Array]  # scalars, or [K] where NaN means "not measured this step"


class Hyper(NamedTuple):
    """How a numeric hyperparameter may be set; the annotation of a factory's argument.

    Arguments annotated so are traced: changing them never recompiles. All other
    arguments (int, str, bool) are static.
    """

    lower: float | None = 0.0  # smallest value allowed
    above: bool = False  # `lower` itself is not allowed
    upper: float | None = None  # largest value allowed
    below: bool = False  # `upper` itself is not allowed
    per_layer: bool = False  # one value a latent layer, [K]; a scalar is repeated
    per_stage: bool = False  # one value a stage of training, any number of them
    order: str | None = None  # "increasing" or "decreasing" over the layers (or stages)
    role: str = ""  # what the number is to a reader, a name in ROLES


# When a run is shortened, a duration becomes shorter and a rate, what each step adds to something,
# higher. A pressure is also told normalised; pressures and capacities, one a layer, tell the layers
# apart, by the symbol.
ROLES: Mapping[str, str] = {"duration": "", "rate": "", "pressure": "β", "capacity": "C"}


class Between(NamedTuple):
    """From where to where a whole number may be; the annotation of a static argument."""

    least: int
    most: int


Width = Annotated[int, Between(1, 100_000)]  # units of a layer
Depth = Annotated[int, Between(0, 100)]  # hidden layers

Scalar = Annotated[Number, Hyper()]  # >= 0
Positive = Annotated[Number, Hyper(above=True)]  # > 0
Real = Annotated[Number, Hyper(lower=None)]
Fraction = Annotated[Number, Hyper(upper=1.0)]  # in [0, 1]
Decay = Annotated[Number, Hyper(upper=1.0, below=True)]  # in [0, 1), as of a moving average
Duration = Annotated[Number, Hyper(role="duration")]  # steps, >= 0
Interval = Annotated[Number, Hyper(above=True, role="duration")]  # steps, > 0
Rate = Annotated[Number, Hyper(role="rate")]  # a step, >= 0
Pressure = Annotated[Number, Hyper(role="pressure")]  # one for all layers
Pressures = Annotated[
    Number, Hyper(per_layer=True, above=True, order="increasing", role="pressure")
]
Capacities = Annotated[Number, Hyper(per_layer=True, order="decreasing", role="capacity")]


class Shard(NamedTuple):
    """Which part of the global batch this device computes (`position` may be traced)."""

    position: Array | int = 0
    parts: int = 1


class Context(NamedTuple):
    """What a factory may know of its surroundings: `factory(context, ...parts, *, numbers)`.

    platform: of the devices that the program is compiled for, "cpu", "gpu" or "tpu"
    axis_name: mapped axis over which the batch is split, None where it is not
    micro: which part of its rows a device computes now, where it accumulates gradients
    """

    image_shape: tuple[int, int, int]  # H, W, C
    latent_dim: int  # D, of every layer
    num_layers: int = 1  # K
    dataset_size: int = 1  # images in the data set
    axis_name: str | None = None
    platform: str = "cpu"
    micro: Shard = Shard()


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
    """All that a run needs to go on."""

    step: Array  # int32 scalar
    params: Params
    carry: Carry
    opt_state: Any
    key: Array  # the seed's key; never advanced, every stream folds the step in


class Model(NamedTuple):
    """An encoder-decoder with K >= 1 latent layers.

    init(key) -> (params, carry)
    encode(params, carry, images [B, H, W, C], *, step, train) -> (Posterior [K, B, D], carry)
    logits(params, z [N, D], layer [N] int32) -> logits [N, H, W, C] of the decoded images
    trainable(params, step) -> pytree of 0/1 scalars, a prefix of params: which
        parameters the optimiser may move at this step (DEFT freezes sub-encoders)
    """

    init: Callable[..., tuple[Params, Carry]]
    encode: Callable[..., tuple[Posterior, Carry]]
    logits: Callable[..., Array]
    trainable: Callable[[Params, Array], Any] = lambda params, step: 1.0


class Gan(NamedTuple):
    """A `Model` (its first three functions) that is trained by two players.

    generate(params, codes [B, D], noise [B, Z]) -> logits [B, H, W, C]
    criticise(params, images) -> (score [B], Posterior [1, B, D] of the codes)
    """

    init: Callable[..., tuple[Params, Carry]]
    encode: Callable[..., tuple[Posterior, Carry]]
    logits: Callable[..., Array]
    generate: Callable[..., Array]
    criticise: Callable[..., tuple[Array, Posterior]]
    latent_dim: int
    noise_dim: int


class Term(NamedTuple):
    """One additive penalty, in nats, to be minimised beside the reconstruction error.

    init(key) -> (params, carry)
    apply(params, carry, latents, key, step) -> (value [K], (carry, metrics))

    `value` has one entry for every latent layer, so that terms compose with any
    weighting of the layers. Terms without parameters or state use empty dicts.
    Where the batch is split over a mapped axis, `latents` is still the global batch; a
    value may be this device's part of it if its mean over the devices is the whole.

    per_image: the value is a mean over images of what each gives alone, without randomness, so
        that the mean over parts of a batch is that over the whole
    """

    init: Callable[..., tuple[Params, Carry]]
    apply: Callable[..., tuple[Array, tuple[Carry, Metrics]]]
    per_image: bool = False


class Objective(NamedTuple):
    """A scalar loss over one mini-batch, and what is learned by minimising it.

    init(key) -> (params, carry)
    loss(params, carry, batch, key, step) -> (loss, (carry, metrics))
    encode(params, carry, images, step) -> Posterior [K, B, D], in evaluation mode
    logits(params, z [N, D], layer [N]) -> logits [N, H, W, C]
    error(logits, images) -> [N], the reconstruction error that evaluation reports, nats
    trainable(params, step) -> prefix pytree of 0/1 with one entry a player, see `Model`
    needs: the keys of a batch that `loss` reads
    whole: names of what needs the batch whole; with none the loss is a mean over images, whose
        part `Context.micro` it computes

    The players are the entries of `params`. One gradient of `loss` serves all; a player whose
    aim is not the reported loss reports its own as the metric "player/loss".
    """

    init: Callable[..., tuple[Params, Carry]]
    loss: Callable[..., tuple[Array, tuple[Carry, Metrics]]]
    encode: Callable[..., Posterior]
    logits: Callable[..., Array]
    error: Callable[[Array, Array], Array]
    trainable: Callable[[Params, Array], Any] = lambda params, step: dict.fromkeys(params, 1.0)
    needs: tuple[str, ...] = ("image",)
    whole: tuple[str, ...] = ("name",)


class Source(NamedTuple):
    """Mini-batches as a pure function of (arrays, key, step).

    arrays: pytree of device arrays, passed to the compiled step as arguments
    take(arrays, key, step, shard) -> batch, a dict with at least "image"
        [B / shard.parts, H, W, C] in [0, 1]; `key` is that of the run's data stream
    size: number of distinct images
    host_batches: None where `arrays` holds all there is. Else `arrays` is None, and the loop
        hands over a chunk at a time, host_batches(step, count) -> the batches of `count` steps
        from `step` on, this process's rows: leaves [count, B / processes, ...], the batch of
        step t at t % count
    """

    arrays: Any
    take: Callable[..., Batch]
    size: int
    batch_size: int
    host_batches: Callable[[int, int], Any] | None = None


class FactorGrid(NamedTuple):
    """The ground truth of a data set: a full grid of discrete generative factors.

    names: one for each factor
    sizes: number of values of each factor; row-major number, last factor fastest
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]


class FactorTable(NamedTuple):
    """The ground truth of a data set whose factors are no full grid: a row an image.

    names: one for each factor
    values: float64 [number of images, F], finite, on the host; whole numbers where discrete
    continuous: for each factor, whether its values are measures, not classes
    """

    names: tuple[str, ...]
    values: np.ndarray
    continuous: tuple[bool, ...]


class Dataset(NamedTuple):
    """Images, with ground truth or without.

    A point stands for an image: its factors, int32 [N, F], where the data set has a grid, else
    its number, int32 [N].

    image_shape: (H, W, C)
    size: number of images
    identity: what makes this data set this one (name, factors, hash); JSON-able,
        written into every checkpoint and every row of results
    arrays, observe: observe(arrays, points) -> images [N, H, W, C] float32 in [0, 1], pure, to
        be called inside jit; None for a data set that does not fit on a device
    read: read(number) -> uint8 [H, W, C] on the host, from several threads, for those
    grid: the factors, None without, or where they are no full grid
    table: the factors of every image, by number, where there is no grid; None without
    draw(arrays, key, n) -> points: the training distribution, for correlated, imbalanced or
        held-out factors; None where it is uniform over the images
    nuisance: names of factors that metrics do not count
    noise: standard deviation of the noise that training images get
    """

    name: str
    image_shape: tuple[int, int, int]
    size: int
    identity: Mapping[str, Any]
    arrays: Any = None
    observe: Callable[[Any, Array], Array] | None = None
    read: Callable[[int], Any] | None = None
    grid: FactorGrid | None = None
    table: FactorTable | None = None
    draw: Callable[[Any, Array, int], Array] | None = None
    nuisance: tuple[str, ...] = ()
    noise: float = 0.0
