"""The shape of a config, derived from `configs/base.py` and checked before anything is built.

Keys, types and placeholders are those of the base. Where users name entries or a factory takes
options (terms, players, factors, options of the model), the leaves are checked here, and their
names and bounds by the factories' signatures.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from devae_jax.names import nearest
from devae_jax.program import keys

LARGEST = 2**31 - 1  # of an integer: steps are counted in int32
LARGEST_SEED = 2**32 - 1
FEWEST_SAMPLES = 20  # the scores sort codes into so many bins


class Options(NamedTuple):
    """A section that a factory reads: `needed` must be there, `known` have the base's type."""

    needed: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


OPTIONS = {
    "model": Options(("name", "latent_dim"), ("latent_dim", "num_layers")),
    "objective": Options(("name",), ("any_order", "terms")),
    "optimizer": Options((), ("players",)),
    "data.source": Options(("kind",)),
}
ENTRIES = ("objective.terms", "optimizer.players")  # named by the user, each a section
FACTORS = ("data.factors", "data.held_out")  # of the data set: name -> values
FACTORIES = ("name", "kind", "encoder", "decoder")  # keys where code of the user's may stand
WEIGHTS = "data.imbalanced"  # of a factor's values: name -> numbers
CORRELATED = {"first": str, "second": str, "sigma": float}
LEAST = {
    "seed": 0,
    "steps": 1,
    "batch_size": 1,
    "micro_batches": 1,
    "data.image_size": 1,
    "data.channels": 1,
    "model.latent_dim": 1,
    "model.num_layers": 1,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.eval_every": 0,
    "train.keep": 1,
    "parallel.devices": 0,
    "eval.samples": FEWEST_SAMPLES,
}


def check(config: Any) -> None:
    """That every key of the base is there, no other, and each of the base's type.

    Raises:
      ValueError: names the first key that is wrong, what was got and expected.
    """
    from devae_jax.configs import base

    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"got {shown(config)} as config, expected a ConfigDict as of configs/base.py; "
            "return one from get_config()"
        )
    if "sweep" in config:
        raise ValueError(
            "got a config with a `sweep`, expected one run; train it with devae-sweep, or remove it"
        )
    _check_section(config, base.get_config(), "")
    for key in FACTORS:
        for name, values in keys.config_at(config, key).items():
            _check_values(values, f"{key}.{name}")
    for name, values in config.data.imbalanced.items():
        _check_weights(values, f"{WEIGHTS}.{name}")
    _check_correlated(config.data.correlated)
    _check_sizes(config)


def _check_section(section: ConfigDict, pattern: ConfigDict, path: str) -> None:
    """One section of the config against that of the base."""
    options = OPTIONS.get(path)
    for key in pattern if options is None else options.needed:
        if key not in section:
            raise ValueError(
                f"got no {_join(path, key)}, expected {_kind(pattern, key)}; add it to the config"
            )
    for key, value in _items(section, path):
        where = _join(path, key)
        typed = key in pattern and (options is None or key in (*options.needed, *options.known))
        if options is None and key not in pattern:
            raise ValueError(
                f"got {where}, expected one of {', '.join(pattern)}{nearest(key, pattern)}; "
                "remove it"
            )
        if where in ENTRIES:
            _check_entries(value, where)
        elif typed and isinstance(pattern[key], ConfigDict):
            if not isinstance(value, ConfigDict):
                raise ValueError(f"got {where}={shown(value)}, expected a section; fix it")
            if where in (*FACTORS, WEIGHTS, "data.correlated"):
                _check_leaves(value, where)
            else:
                _check_section(value, pattern[key], where)
        elif typed:
            _check_typed(value, pattern, key, where)
        else:
            _check_leaf(value, where)


def _check_entries(section: Any, path: str) -> None:
    """Entries of the user's, {"kl": {...}}."""
    if not isinstance(section, ConfigDict):
        raise ValueError(f"got {path}={shown(section)}, expected a dict of dicts; fix it")
    for name, entry in _items(section, path):
        if not isinstance(entry, ConfigDict):
            raise ValueError(f"got {path}.{name}={shown(entry)}, expected a dict; fix it")
        _check_leaves(entry, f"{path}.{name}")


def _check_leaves(section: ConfigDict, path: str) -> None:
    for key, value in _items(section, path):
        _check_leaf(value, f"{path}.{key}")


def _check_typed(value: Any, pattern: ConfigDict, key: str, where: str) -> None:
    """A value whose type the base says; unset where it is so in the base."""
    wanted = pattern.get_type(key)
    if value is None and pattern[key] is None:
        return
    if key in FACTORIES and callable(value):
        return
    if wanted is tuple:
        texts = isinstance(value, list | tuple) and all(type(item) is str for item in value)
        if not texts:
            raise ValueError(
                f"got {where}={shown(value)}, expected a tuple of names; write {pattern[key]!r}"
            )
        return
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if not fits:
        raise ValueError(
            f"got {where}={shown(value)}, expected {_kind(pattern, key)}; fix its type"
        )
    _check_leaf(value, where)


def _check_leaf(value: Any, where: str) -> None:
    """What JSON can hold, so that a checkpoint can: numbers that are finite, text, lists."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_leaf(item, where)
    elif type(value) is int:
        least = LEAST.get(where, -LARGEST)
        most = LARGEST_SEED if where.rpartition(".")[2] == "seed" else LARGEST
        if not least <= value <= most:
            raise ValueError(
                f"got {where}={shown(value)}, expected an integer from {least} to {most}; fix it"
            )
    elif type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"got {where}={value!r}, expected a finite number; fix it")
    elif type(value) is str:
        if not _is_text(value):
            raise ValueError(f"got {where}={value!r}, expected UTF-8 text without NUL; fix it")
    elif not (value is None or type(value) is bool or callable(value)):
        raise ValueError(
            f"got {where}={shown(value)}, expected a plain Python number, text, list or None; "
            "convert it with float(), int() or .tolist()"
        )


def _check_values(values: Any, where: str) -> None:
    fits = isinstance(values, list | tuple) and len(values) and all(type(v) is int for v in values)
    if not fits:
        raise ValueError(
            f"got {where}={shown(values)}, expected the numbers of values, (0, 1); fix it"
        )


def _check_weights(values: Any, where: str) -> None:
    numbers = isinstance(values, list | tuple) and all(type(v) in (int, float) for v in values)
    if not numbers:
        raise ValueError(f"got {where}={shown(values)}, expected weights, (8, 1, 1); fix it")


def _check_correlated(given: ConfigDict) -> None:
    for key in given:
        if key not in CORRELATED:
            raise ValueError(
                f"got data.correlated.{key}, expected {', '.join(CORRELATED)}"
                f"{nearest(key, CORRELATED)}; remove it"
            )
    for key, kind in CORRELATED.items() if len(given) else ():
        value = given.get(key)
        if not (type(value) is kind or (kind is float and type(value) is int)):
            raise ValueError(
                f"got data.correlated.{key}={shown(value)}, expected {kind.__name__}; set it"
            )


def _check_sizes(config: ConfigDict) -> None:
    """What a batch and codes take at least, against the memory there is.

    Raises:
      ValueError: they cannot fit: one channel of a batch, or the codes of all layers.
    """
    batch, samples, memory = config.batch_size, config.eval.samples, memory_bytes()
    layers = config.model.get("num_layers", 1)
    codes = config.model.latent_dim * layers
    latents = f"model.latent_dim={config.model.latent_dim} and {layers} layers"
    for what, numbers in (
        (
            f"batch_size={batch} and data.image_size={config.data.image_size}",
            batch * _pixels(config),
        ),
        (f"batch_size={batch}, {latents}", batch * codes),
        # Means and variances of a sample, and of one half as large to test on.
        (f"eval.samples={samples}, {latents}", 3 * samples * codes),
    ):
        check_memory(4 * numbers, what, memory)


def check_memory(size: int, what: str, memory: int | None = None) -> None:
    """Raises ValueError if `what` takes more bytes than the memory of this machine."""
    memory = memory_bytes() if memory is None else memory
    if size > memory:
        raise ValueError(
            f"got {what}, which take at least {size / 1e9:,.0f} GB, expected at most the "
            f"{memory / 1e9:,.0f} GB of this machine; make them smaller"
        )


def memory_bytes() -> int:
    """The physical memory of the machines of this job, each like this one."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * jax.process_count()


def _pixels(config: ConfigDict) -> int:
    return config.data.image_size**2


def _is_text(value: str) -> bool:
    """Whether a file can hold it; bytes of the command line that are no UTF-8 are no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _items(section: ConfigDict, path: str) -> Iterator[tuple[str, Any]]:
    for key in section:
        if not isinstance(key, str) or not key:
            raise ValueError(f"got the key {key!r} in {path or 'config'}, expected text; fix it")
        yield key, section[key]


def _kind(pattern: ConfigDict, key: str) -> str:
    """What the base has under a key, in a word."""
    if isinstance(pattern[key], ConfigDict):
        return "a section"
    kind = pattern.get_type(key).__name__
    return f"{kind} or None" if pattern[key] is None else kind


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def shown(value: Any) -> str:
    """A value and its type, in a few words."""
    if type(value) is int and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
