"""The config, read once: every factory that it names, with its options, by config path."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from devae_jax.data import SOURCES
from devae_jax.models import MODELS
from devae_jax.objectives import OBJECTIVES, TERMS
from devae_jax.program.hyper import signature, split
from devae_jax.program.references import resolve
from devae_jax.training.optim import adam
from devae_jax.types import Hyper


class Spec(NamedTuple):
    """One factory of the config.

    path: where its options are, "objective.terms.kl"
    static: its options that are no numbers
    numbers: argument -> array; traced, by the key "path.argument"
    """

    path: str
    factory: Callable[..., Any]
    static: dict[str, Any]
    numbers: dict[str, np.ndarray]

    def make(self, hparams: Mapping[str, Any], *parts: Any) -> Any:
        """What the factory makes of its parts, with the traced numbers of this program."""
        return self.factory(*parts, **self.static, **self.arguments(hparams))

    def arguments(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """This factory's numbers, by argument."""
        return {name: hparams[f"{self.path}.{name}"] for name in self.numbers}


class Specs(NamedTuple):
    """Every factory of a config.

    players: of the optimiser, those with numbers of their own; the rest as in `optimizer`
    """

    seed: int
    latent_dim: int
    num_layers: int
    model: Spec
    objective: Spec
    terms: dict[str, Spec]
    source: Spec
    optimizer: Spec
    players: dict[str, Spec]

    def hparams(self) -> dict[str, Any]:
        """Every traced number by its config path, and the seed."""
        traced = [self.model, self.objective, *self.terms.values(), self.optimizer]
        return {"seed": np.uint32(self.seed)} | {
            f"{spec.path}.{name}": value
            for spec in [*traced, *self.players.values()]
            for name, value in spec.numbers.items()
        }


# What a factory is handed, in this order, before its options.
PARTS = {
    "model": ("context",),
    "objective": ("context", "model", "terms"),
    "term": ("context",),
    "source": ("dataset", "batch_size"),
}


def read(config: ConfigDict) -> Specs:
    """Every factory that the config names, its options checked.

    Raises:
      ValueError: unknown factory or option; a value of the wrong type or out of bounds.
    """
    model, objective = config.model.to_dict(), config.objective.to_dict()
    num_layers, any_order = model.pop("num_layers", 1), objective.pop("any_order", False)
    latent_dim = model.pop("latent_dim", None)
    for name, value in (("latent_dim", latent_dim), ("num_layers", num_layers)):
        if type(value) is not int or value < 1:
            raise ValueError(f"got model.{name}={value!r}, expected an integer >= 1; fix it")
    terms, optimizer = objective.pop("terms", {}), config.optimizer.to_dict()
    players = optimizer.pop("players", {})

    def spec(kind: str, table: Mapping[str, Callable], options: dict, path: str, key: str) -> Spec:
        factory = _named(kind, table, options, path, key)
        return Spec(
            path,
            factory,
            *split(factory, options, path, num_layers=num_layers, any_order=any_order),
        )

    specs = Specs(
        seed=config.seed,
        latent_dim=latent_dim,
        num_layers=num_layers,
        model=spec("model", MODELS, _set(model), "model", "name"),
        objective=spec("objective", OBJECTIVES, objective, "objective", "name"),
        terms={
            name: spec("term", TERMS, _set(options), f"objective.terms.{name}", "kind")
            for name, options in _dicts(terms, "objective.terms")
        },
        source=spec("source", SOURCES, _set(config.data.source.to_dict()), "data.source", "kind"),
        optimizer=Spec("optimizer", adam, *split(adam, optimizer, "optimizer")),
        players={},
    )
    for player, options in _dicts(players, "optimizer.players"):
        path = f"optimizer.players.{player}"
        _, numbers = split(adam, optimizer | options, path)
        given = {name: value for name, value in numbers.items() if name in options}
        specs.players[player] = Spec(path, adam, {}, given)
    return specs


def _named(
    kind: str, table: Mapping[str, Callable], options: dict[str, Any], path: str, key: str
) -> Callable:
    """The factory that options[key] names; takes the key out of the options."""
    name = options.pop(key, None)
    if name is None:
        raise ValueError(
            f"got no {path}.{key}, expected one of {', '.join(table)}, or a factory of your own; "
            "add it to the config"
        )
    factory = resolve(name, table, f"{path}.{key}")
    parts = signature(factory).parts
    if len(parts) != len(PARTS[kind]):
        raise ValueError(
            f"got {path}.{key}={name!r}, a function of ({', '.join(parts)}), expected a {kind}: "
            f"a function of ({', '.join(PARTS[kind])}, *, options); fix the name or the function"
        )
    return factory


def _dicts(parts: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a section whose entries are sections."""
    if not isinstance(parts, Mapping):
        raise ValueError(f"got {path}={parts!r}, expected a dict of dicts; fix it")
    for name, options in parts.items():
        if not isinstance(options, dict):
            raise ValueError(f"got {path}.{name}={options!r}, expected a dict; fix it")
    return list(parts.items())


def _set(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that are None: left at their defaults."""
    return {name: value for name, value in options.items() if value is not None}


def roles(config: ConfigDict, *wanted: str) -> dict[str, tuple[Hyper, Any]]:
    """Config path -> (annotation, value) of the numbers with one of these roles, see `ROLES`.

    Of the model, the objective, its terms and the optimiser, as the config gives them:
    nothing is checked but the names of the factories.
    """
    sections: list[tuple[str, Callable, Mapping[str, Any]]] = [
        ("model", resolve(config.model.get("name"), MODELS, "model.name"), config.model),
        (
            "objective",
            resolve(config.objective.get("name"), OBJECTIVES, "objective.name"),
            config.objective,
        ),
        ("optimizer", adam, config.optimizer),
    ]
    for name, options in config.objective.get("terms", {}).items():
        path = f"objective.terms.{name}"
        sections.append((path, resolve(options.get("kind"), TERMS, f"{path}.kind"), options))
    return {
        f"{path}.{name}": (hyper, options[name])
        for path, factory, options in sections
        for name, hyper in signature(factory).hypers.items()
        if hyper.role in wanted and options.get(name) is not None
    }
