"""Digests of states: what was saved is what is read, or it is said."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

SIZE = 16  # bytes of a digest


def of_json(value: Any) -> str:
    """Of anything that JSON can hold, whatever the order of its keys."""
    return _digest(json.dumps(value, sort_keys=True).encode())


def of_arrays(tree: Any, *, members: bool, together: bool) -> dict[str, list[str]]:
    """The digests of every array by its path, "params/model/encoder/head/kernel".

    Each covers type, shape and bytes; of a population there is one for each member, which
    processes have parts of. Every process gives what it has; `together` joins those of all.

    Returns one digest an array, or one a member; "" for members on other processes.
    """
    found: dict[str, list[str]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        name = "/".join(_word(key) for key in path)
        found[name] = _of_members(leaf) if members else [_of_array(_whole(leaf))]
    if members and together:
        return _joined(found)
    return found


def differing(wanted: Mapping[str, list[str]], found: Mapping[str, list[str]]) -> list[str]:
    """Names of the arrays that are not what was written."""
    return [
        name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)
    ]


def _of_array(array: Any) -> str:
    array = np.ascontiguousarray(array)
    about = f"{array.dtype.name}{array.shape}".encode()
    return _digest(about, array.reshape(-1).view(np.uint8).data)


def _of_members(leaf: Any) -> list[str]:
    """One digest a member [M, ...] of those on this process's devices."""
    digests = [""] * leaf.shape[0]
    for shard in leaf.addressable_shards:
        rows = np.asarray(shard.data)
        for i, row in zip(range(*shard.index[0].indices(leaf.shape[0])), rows, strict=True):
            digests[i] = digests[i] or _of_array(row)
    return digests


def _whole(leaf: Any) -> Any:
    """An array that every process has, on the host."""
    return leaf.addressable_data(0) if leaf.is_fully_replicated else leaf


def _joined(digests: dict[str, list[str]]) -> dict[str, list[str]]:
    """Those of all processes: each member's from one that has it."""
    flat = [digest for row in digests.values() for digest in row]
    mine = np.stack([np.frombuffer(bytes.fromhex(d or "00" * SIZE), np.uint8) for d in flat])
    joined = iter(np.asarray(multihost_utils.process_allgather(mine)).max(axis=0))
    return {name: [next(joined).tobytes().hex() for _ in row] for name, row in digests.items()}


def _digest(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _word(key: Any) -> str:
    """One step of a path, the same for a dataclass, a tuple and the dicts that are read back."""
    return str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))))
