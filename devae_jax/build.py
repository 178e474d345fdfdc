"""The only reader of the config: from names and numbers to pure functions.

`plan(config)` checks everything before anything is compiled. Its `Program` is static;
its `hparams` hold every number and may be swapped without compiling again.
"""

import functools
import inspect
import math
import typing
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from devae_jax import data, optim
from devae_jax.data import ondevice
from devae_jax.hyper import split
from devae_jax.models import MODELS
from devae_jax.models.discriminator import discriminator
from devae_jax.names import lookup, nearest
from devae_jax.objectives import OBJECTIVES, TERMS
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.train.step import Hparams, Program, init
from devae_jax.types import Dataset, Objective

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")  # of matrix products on accelerators
# What may differ when a run goes on: how long, how often and where, not what is learned.
RESUMABLE = ("steps", "train", "eval", "parallel", "data.data_dir", "data.progress")


class Plan(NamedTuple):
    """A config turned into functions and numbers."""

    program: Program
    hparams: Hparams
    dataset: Dataset


def plan(config: ConfigDict) -> Plan:
    """Data set, program and numbers of a config.

    Raises:
      ValueError: anything in the config is wrong; says what was got, expected, how to fix.
    """
    check_run(config)
    dataset = load_data(config)
    return Plan(program(config, dataset), hyperparameters(config), dataset)


def load_data(config: ConfigDict) -> Dataset:
    """The data set of a config."""
    training = {name: config.data.get(name, {}) for name in ("correlated", "held_out")}
    return data.load(
        config.data.name,
        data_dir=config.data.data_dir or None,
        factors=config.data.factors.to_dict(),
        image_size=config.data.image_size,
        **{name: dict(options) for name, options in training.items()},
        progress=config.train.progress,
    )


def check_run(config: ConfigDict) -> None:
    """What no factory sees."""
    for name in ("steps", "batch_size", "train.log_every", "train.checkpoint_every", "train.keep"):
        value = functools.reduce(lambda node, key: node[key], name.split("."), config)
        if value < 1:
            raise ValueError(f"got {name}={value}, expected at least 1; fix the config")
    lookup(dict.fromkeys(PRECISIONS), _precision(config), "matmul_precision")
    for name in ("checkpoint_every", "eval_every"):
        if config.train[name] % config.train.log_every:
            raise ValueError(
                f"got train.{name}={config.train[name]}, expected a multiple of "
                f"train.log_every={config.train.log_every}, so that a resumed run logs at the "
                "same steps; fix one of the two"
            )


def _precision(config: ConfigDict) -> str:
    """The first of PRECISIONS where a config is older than the key."""
    return config.get("matmul_precision", PRECISIONS[0])


def _split_all(config: ConfigDict) -> dict[str, Any]:
    """(static, numbers) of every factory that the config names, by owner."""
    model, objective = config.model.to_dict(), config.objective.to_dict()
    num_layers, any_order = model.get("num_layers", 1), objective.pop("any_order", False)
    shared = {"num_layers": num_layers, "any_order": any_order}
    model_factory = lookup(MODELS, model.pop("name", None), "model.name")
    parts = {
        "model": split(
            model_factory, model, "model", provided=("image_shape", "axis_name"), **shared
        )
    }
    terms = objective.pop("terms", {})
    factory = lookup(OBJECTIVES, objective.pop("name", None), "objective.name")
    lookup(LIKELIHOODS, objective.pop("likelihood", None), "objective.likelihood")
    if terms and "terms" not in inspect.signature(factory).parameters:
        raise ValueError(
            f"got objective.terms {', '.join(terms)}, expected none: objective.name="
            f"{config.objective.name!r} takes no terms; remove them"
        )
    parts["objective"] = split(
        factory, objective, "objective", provided=(*_CONTEXT, "noise"), **shared
    )
    for name, options in terms.items():
        where = f"objective.terms.{name}"
        if name == "model" or not isinstance(options, dict) or "kind" not in options:
            raise ValueError(f"got {where}={options!r}, expected a dict with a `kind`; fix it")
        term = lookup(TERMS, options.pop("kind"), f"{where}.kind")
        options = {k: v for k, v in options.items() if v is not None}
        filled = [given for given in (*_TERM_CONTEXT, *parts["model"][1]) if given not in options]
        parts[f"terms.{name}"] = split(term, options, where, provided=filled, **shared)
    optimizer = config.optimizer.to_dict()
    players = optimizer.pop("players")
    parts["optimizer"] = split(optim.adam, optimizer, "optimizer", provided=("step",))
    for player, options in players.items():
        full = {**optimizer, **options}
        parts[f"players.{player}"] = split(
            optim.adam, full, f"optimizer.players.{player}", provided=("step",)
        )
    return parts


# What a term or an objective may ask for by the name of its argument; a term also the model's
# numbers, such as the length of a stage.
_TERM_CONTEXT = ("dataset_size", "discriminator")
_CONTEXT = (
    "model",
    "terms",
    "likelihood",
    "image_shape",
    "latent_dim",
    "num_layers",
    "axis_name",
)


def hyperparameters(config: ConfigDict) -> Hparams:
    """Every number of the config that is traced: {"seed", owner: {argument: array}}."""
    parts = {owner: numbers for owner, (_, numbers) in _split_all(config).items()}
    return {"seed": np.uint32(config.seed)} | parts


def program(config: ConfigDict, dataset: Dataset) -> Program:
    """The static part of a config, bound to its data set."""
    static = {owner: arguments for owner, (arguments, _) in _split_all(config).items()}
    source = ondevice.source(dataset, config.batch_size, config.data.sampling)
    model_factory = MODELS[config.model.name]
    objective_factory = OBJECTIVES[config.objective.name]
    kinds = {name: TERMS[options["kind"]] for name, options in config.objective.terms.items()}
    players = list(config.optimizer.players)

    def objective(hparams: Hparams, axis_name: str | None) -> Objective:
        def model():
            arguments = static["model"] | hparams["model"]
            made = model_factory(image_shape=dataset.image_shape, axis_name=axis_name, **arguments)
            kind = typing.get_type_hints(objective_factory)["model"]
            if not isinstance(made, kind):
                raise ValueError(
                    f"got model.name={config.model.name!r}, a {type(made).__name__}, expected a "
                    f"{kind.__name__} for objective.name={config.objective.name!r}; fix one"
                )
            return made

        def terms():
            own = {"dataset_size": source.size, "discriminator": discriminator}
            return {
                name: kind(
                    **(
                        _fill(kind, **hparams["model"], **own)
                        | static[f"terms.{name}"]
                        | hparams[f"terms.{name}"]
                    )
                )
                for name, kind in kinds.items()
            }

        context = {
            "model": model,
            "terms": terms,
            "likelihood": lambda: LIKELIHOODS[config.objective.likelihood],
            "image_shape": lambda: dataset.image_shape,
            "latent_dim": lambda: config.model.latent_dim,
            "num_layers": lambda: config.model.get("num_layers", 1),
            "axis_name": lambda: axis_name,
        }
        wanted = inspect.signature(objective_factory).parameters
        asked = {name: make() for name, make in context.items() if name in wanted}
        return objective_factory(**(asked | static["objective"] | hparams["objective"]))

    def optimizer(hparams: Hparams, mask: Any, step: Any):
        own = {player: hparams[f"players.{player}"] for player in players}
        return optim.optimizer(mask, step, hparams["optimizer"], own)

    built = Program(objective, optimizer, source, _precision(config))
    params = jax.eval_shape(functools.partial(init, built), hyperparameters(config)).params
    for player in players:
        if player not in params:
            raise ValueError(
                f"got optimizer.players.{player}, expected one of {', '.join(params)}"
                f" (what the objective trains){nearest(player, params)}"
            )
    return built


def _fill(factory: Any, **values: Any) -> dict[str, Any]:
    """Those of `values` that the factory has an argument for."""
    wanted = inspect.signature(factory).parameters
    return {name: value for name, value in values.items() if name in wanted}


def conventions(config: ConfigDict, dataset: Dataset) -> str:
    """What a loss of this run means: reductions, and every pressure with its normalised value.

    The normalised pressure beta D / (H W C) is that of Higgins et al. 2017: it compares runs
    with other image sizes and numbers of latents.
    """
    values = math.prod(dataset.image_shape)
    parts = "losses averaged over the batch; nats"
    if "likelihood" in inspect.signature(OBJECTIVES[config.objective.name]).parameters:
        parts = (
            f"{config.objective.likelihood} error summed over the {values:,} values of an image, "
            f"KL summed over {config.model.latent_dim} latents, both averaged over the batch; nats"
        )
    lines = [f"{config.method or config.objective.name} on {dataset.name}: {parts}"]
    for name, options in config.objective.terms.items():
        for key, value in options.items():
            if key.startswith("beta"):
                betas = np.atleast_1d(np.asarray(value, float))
                normalised = ", ".join(f"{b * config.model.latent_dim / values:.4g}" for b in betas)
                shown = ", ".join(f"{b:g}" for b in betas)
                lines.append(f"{name}.{key} = {shown}; normalised {normalised}")
    return "\n".join(lines)


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Keys by which two configs describe different runs, "key: old -> new"."""
    flat_old, flat_new = flatten(old), flatten(new)
    return [
        f"{key}: {flat_old.get(key, '(absent)')!r} -> {flat_new.get(key, '(absent)')!r}"
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key) != flat_new.get(key)
        and not any(key == free or key.startswith(f"{free}.") for free in RESUMABLE)
    ]


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"model.latent_dim": 10, ...}; tuples become lists, as in a config read from JSON."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat
