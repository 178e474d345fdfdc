"""A config turned into functions and numbers, checked before anything is compiled.

`plan(config)` is the way in: its `Program` is static, its `hparams` hold every number and may
be swapped without compiling again.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from devae_jax import data, rng
from devae_jax.data.pictures import ON_ERROR
from devae_jax.data.regimes import noisy
from devae_jax.names import lookup, nearest
from devae_jax.program import describe, keys, references, schema, specs
from devae_jax.training import optim
from devae_jax.training.engine import MODES
from devae_jax.training.loop import Schedule
from devae_jax.training.platform import PRECISIONS
from devae_jax.training.sinks import SINKS
from devae_jax.training.step import Hparams, Layout, Program, init
from devae_jax.training.trees import stack
from devae_jax.types import Context, Dataset, Objective

NON_FINITE = ("stop", "skip")  # at a loss or gradient that is NaN or infinite


class Member(NamedTuple):
    """One run of a population: the numbers in which it differs, its config and all its numbers."""

    numbers: dict[str, Any]  # config path -> value
    config: ConfigDict
    hparams: Hparams


class Parallel(NamedTuple):
    """Where a run computes: in which mode, on how many devices (0: all)."""

    mode: str
    devices: int


class Plan(NamedTuple):
    """All that a config says, as functions, numbers and settings.

    config: as it can be saved
    members: of a population; empty for a run alone
    conventions: what a loss of this run means, as text
    keep: how many checkpoints
    eval_samples, eval_metrics: of the scores during training; names, or the user's own
    """

    config: ConfigDict
    program: Program
    hparams: Hparams
    dataset: Dataset
    members: tuple[Member, ...]
    schedule: Schedule
    parallel: Parallel
    conventions: str
    keep: int
    tensorboard: bool
    sinks: tuple[str, ...]
    progress: bool
    eval_samples: int
    eval_metrics: tuple[Any, ...]


def plan(config: ConfigDict, members: Sequence[Mapping[str, Any]] = ()) -> Plan:
    """Data set, program, numbers and settings of a config.

    Args:
      members: train a population; each entry holds the numbers in which a member differs,
        {"seed": 1, "objective.scale": 0.5}.

    Raises:
      ValueError: anything in the config is wrong; says what was got, expected, how to fix.
    """
    schema.check(config)
    config = keys.normalised(config)
    schedule = _schedule(config)
    precision = config.matmul_precision
    lookup(dict.fromkeys(PRECISIONS), precision, "matmul_precision")
    lookup(dict.fromkeys(MODES), config.parallel.mode, "parallel.mode")
    lookup(dict.fromkeys(NON_FINITE), config.train.non_finite, "train.non_finite")
    for name in config.train.sinks:
        lookup(SINKS, name, "train.sinks")
    parts = specs.read(config)
    dataset = _load_data(config)
    program = _program(parts, dataset, config.batch_size, precision)
    program = program._replace(
        skip=config.train.non_finite == "skip", micro_batches=config.micro_batches
    )
    hparams = parts.hparams()
    _check_program(program, hparams, parts)
    return Plan(
        config=config,
        program=program,
        hparams=hparams,
        dataset=dataset,
        members=tuple(member_of(config, hparams, numbers) for numbers in members),
        schedule=schedule,
        parallel=Parallel(config.parallel.mode, config.parallel.devices),
        conventions=describe.conventions(config, dataset),
        keep=config.train.keep,
        tensorboard=config.train.tensorboard,
        sinks=tuple(config.train.sinks),
        progress=config.train.progress,
        eval_samples=config.eval.samples,
        eval_metrics=tuple(
            references.load(name, "eval.metrics") if references.is_reference(name) else name
            for name in config.eval.metrics
        ),
    )


def member_of(config: ConfigDict, hparams: Hparams, numbers: Mapping[str, Any]) -> Member:
    """One member of a population.

    Raises:
      ValueError: what differs is no number of the program, or a wrong one.
    """
    for key in numbers:
        if key not in hparams:
            raise ValueError(
                f"got a member that differs in {key!r}, expected a number of the program"
                f"{nearest(key, hparams)}; keys that change shapes need a program of their own"
            )
    changed = keys.laid_over(config, numbers)
    schema.check(changed)
    return Member(dict(numbers), changed, specs.read(changed).hparams())


def stacked(plan: Plan) -> Hparams:
    """The numbers of all members, [M, ...]."""
    return stack([member.hparams for member in plan.members])


def complete(config: ConfigDict | Mapping[str, Any]) -> ConfigDict:
    """A config as it is, or a dict laid over `configs/base.py`; `plan` checks it."""
    if not isinstance(config, Mapping):
        return config
    from devae_jax.configs import base

    whole = base.get_config()
    with whole.unlocked(), whole.ignore_type():
        _lay(whole, config)
    return whole


def _lay(config: ConfigDict, changes: Mapping[str, Any] | ConfigDict) -> None:
    """Sections into sections; anything else replaces what was there."""
    for key, value in changes.items():
        if not isinstance(key, str):
            raise ValueError(f"got the key {key!r} in a config, expected text; fix it")
        sections = isinstance(value, Mapping | ConfigDict) and key in config
        if sections and isinstance(config[key], ConfigDict):
            _lay(config[key], value)
        else:
            config[key] = value


def _schedule(config: ConfigDict) -> Schedule:
    """When things happen.

    Raises:
      ValueError: events that no log point meets.
    """
    for name in ("checkpoint_every", "eval_every"):
        if config.train[name] % config.train.log_every:
            raise ValueError(
                f"got train.{name}={config.train[name]}, expected a multiple of "
                f"train.log_every={config.train.log_every}, so that a resumed run logs at the "
                "same steps; fix one of the two"
            )
    return Schedule(
        steps=config.steps,
        log_every=config.train.log_every,
        checkpoint_every=config.train.checkpoint_every,
        eval_every=config.train.eval_every,
    )


def _load_data(config: ConfigDict) -> Dataset:
    lookup(dict.fromkeys(ON_ERROR), config.data.on_error, "data.on_error")
    request = data.Request(
        data_dir=config.data.data_dir,
        factors=config.data.factors.to_dict(),
        image_size=config.data.image_size,
        progress=config.train.progress,
        path=config.data.path,
        channels=config.data.channels,
        on_error=config.data.on_error,
        continuous=tuple(config.data.continuous),
    )
    return data.load(
        specs.resolve(config.data.name, data.DATASETS, "data.name"),
        request,
        correlated=config.data.correlated.to_dict(),
        held_out=config.data.held_out.to_dict(),
        imbalanced=config.data.imbalanced.to_dict(),
        nuisance=config.data.nuisance,
        noise=config.data.noise,
    )


def _program(parts: specs.Specs, dataset: Dataset, batch_size: int, precision: str) -> Program:
    """The static part of a config, bound to its data set."""
    source = noisy(parts.source.make({}, dataset, batch_size), dataset.noise)

    def objective(hparams: Hparams, layout: Layout) -> Objective:
        context = Context(
            image_shape=dataset.image_shape,
            latent_dim=parts.latent_dim,
            num_layers=parts.num_layers,
            dataset_size=source.size,
            axis_name=layout.axis_name,
            platform=layout.platform,
            micro=layout.micro,
        )
        model = parts.model.make(hparams, context)
        terms = {name: term.make(hparams, context) for name, term in parts.terms.items()}
        return parts.objective.make(hparams, context, model, terms)

    def optimizer(hparams: Hparams, mask: Any, step: Any):
        default = parts.optimizer.arguments(hparams)
        players = {name: player.arguments(hparams) for name, player in parts.players.items()}
        return optim.optimizer(mask, step, default, players)

    return Program(objective, optimizer, source, precision)


def _check_program(program: Program, hparams: Hparams, parts: specs.Specs) -> None:
    """That the parts fit together, seen by tracing the start.

    Raises:
      ValueError: a part does not fit another or the memory, the optimiser names a player that is
        not there, or the source has no key of the batch that the objective needs.
    """
    state = jax.eval_shape(functools.partial(init, program), hparams)
    size = sum(
        leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state.params, state.opt_state))
    )
    schema.check_memory(size, "parameters and moments of these networks (`model`)")
    params = state.params
    for player in parts.players:
        if player not in params:
            raise ValueError(
                f"got optimizer.players.{player}, expected one of {', '.join(params)}"
                f" (what the objective trains){nearest(player, params)}"
            )
    objective, source = program.objective(hparams, Layout()), program.source
    whole = [
        *(f"objective.{name}" for name in objective.whole),
        *(f"the state of {name!r}" for name in state.carry),
    ]
    if program.micro_batches > 1 and whole:
        raise ValueError(
            f"got micro_batches={program.micro_batches}, expected 1: {', '.join(whole)} would not "
            "be as of the whole batch; make batch_size smaller, or use model.remat"
        )
    arrays = source.arrays if source.host_batches is None else source.host_batches(0, 1)
    batch = jax.eval_shape(source.take, arrays, rng.seed(0), 0)
    for key in objective.needs:
        if key not in batch:
            raise ValueError(
                f"got batches with {', '.join(batch)} from {parts.source.path}, expected {key!r}, "
                "which the objective needs; choose another data.source.kind"
            )
