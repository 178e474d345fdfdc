"""Dotted keys of a config: flat, compared, and laid over each other."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from devae_jax.names import nearest
from devae_jax.program import references

# What may differ when a run goes on: how long, how often and where, not what is learned.
RESUMABLE = ("steps", "train", "eval", "parallel", "data.data_dir")


def normalised(config: ConfigDict) -> ConfigDict:
    """A copy that can be saved as text: factories in it become references to them.

    Keys that share one number go on sharing it.

    Raises:
      ValueError: a factory that cannot be found again by name.
    """
    config = copy.deepcopy(config)
    changed = {}
    for key, value in flatten(config).items():
        text = references.text_of(value, key)
        if text != value:
            changed[key] = tuple(text) if isinstance(text, list) else text
    with config.unlocked(), config.ignore_type():
        config.update_from_flattened_dict(changed)
    return config


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"model.latent_dim": 10, ...}; tuples become lists, as in a config read from JSON."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Keys by which two configs describe different runs, "key: old -> new"."""
    flat_old, flat_new = flatten(old), flatten(new)
    return [
        f"{key}: {flat_old.get(key, '(absent)')!r} -> {flat_new.get(key, '(absent)')!r}"
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key) != flat_new.get(key)
        and not any(key == free or key.startswith(f"{free}.") for free in RESUMABLE)
    ]


def laid_over(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy with {"objective.scale": 0.5} laid over it; keys that share a number all change.

    Raises:
      ValueError: a key that the config does not have.
    """
    config = copy.deepcopy(config)
    known = flatten(config)
    for key in changes:
        if key not in known and not isinstance(config_at(config, key), ConfigDict):
            raise ValueError(
                f"got {key!r}, expected a key of the config{nearest(key, known)}; fix the key"
            )
    with config.ignore_type():  # what a value may be, the schema checks
        config.update_from_flattened_dict(dict(changes))
    return config


def config_at(config: ConfigDict, key: str) -> Any:
    """The value of a dotted key, None if there is none."""
    for part in key.split("."):
        if not isinstance(config, ConfigDict) or part not in config:
            return None
        config = config[part]
    return config


def changes(old: ConfigDict, new: ConfigDict) -> dict[str, Any]:
    """The keys of `new` whose value differs from that of `old`, with their values."""
    before = flatten(old)
    return {
        key: config_at(new, key)
        for key, value in flatten(new).items()
        if key not in before or before[key] != value
    }


def to_json(config: ConfigDict) -> dict[str, Any]:
    """The config as what JSON can hold."""
    return json.loads(json.dumps(config.to_dict()))
