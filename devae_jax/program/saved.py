"""Configs as earlier versions saved them."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from devae_jax.program import keys
from devae_jax.program.schema import OPTIONS


def config_of(saved: Mapping[str, Any]) -> ConfigDict:
    """A saved config, with the keys that the base got since, at the base's values.

    These change nothing: a key is added with the value that means what was done before it. The
    options of models, objectives, optimisers and sources have their factories' defaults.
    """
    from devae_jax.configs import base

    config = ConfigDict(saved)
    _fill(config, base.get_config(), "", _no_option)
    return config


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Keys by which two configs describe different runs, "key: old -> new".

    An option that one of them lacks has the base's value, if its factory is the base's.
    """
    from devae_jax.configs import base

    both = copy.deepcopy(old), copy.deepcopy(new)
    for config in both:
        _fill(config, base.get_config(), "", _of_base)
    return keys.differences(*both)


def changed(saved: Mapping[str, Any], config: ConfigDict) -> list[str]:
    """Those of some sections of a saved config that another has otherwise."""
    both = config_of(saved), keys.normalised(config)
    return differences(*(ConfigDict({key: each[key] for key in saved}) for each in both))


def _fill(section: ConfigDict, pattern: ConfigDict, path: str, may: Callable[..., bool]) -> None:
    """Adds the keys of a pattern that a section lacks and `may` have, here and below."""
    for key, value in pattern.items():
        where = f"{path}.{key}" if path else key
        if key not in section and where not in OPTIONS and may(section, pattern, path):
            with section.unlocked():
                section[key] = value
        elif isinstance(value, ConfigDict) and isinstance(section.get(key), ConfigDict):
            _fill(section[key], value, where, may)


def _no_option(section: ConfigDict, pattern: ConfigDict, path: str) -> bool:
    return path not in OPTIONS


def _of_base(section: ConfigDict, pattern: ConfigDict, path: str) -> bool:
    """Whether a section names what the base's names; all of a section that names nothing."""
    return path != "" and all(
        section.get(n) == pattern[n] for n in ("name", "kind") if n in pattern
    )
