"""Configs as earlier versions saved them."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from devae_jax.program.schema import OPTIONS


def config_of(saved: Mapping[str, Any]) -> ConfigDict:
    """A saved config, with the keys that the base got since, at the base's values.

    These change nothing: a key is added with the value that means what was done before it. The
    options of models, objectives, optimisers and sources have their factories' defaults.
    """
    from devae_jax.configs import base

    config = ConfigDict(saved)
    _fill(config, base.get_config(), "")
    return config


def _fill(section: ConfigDict, pattern: ConfigDict, path: str) -> None:
    for key, value in pattern.items():
        where = f"{path}.{key}" if path else key
        if key not in section and where not in OPTIONS and path not in OPTIONS:
            section[key] = value
        elif isinstance(value, ConfigDict) and isinstance(section.get(key), ConfigDict):
            _fill(section[key], value, where)
