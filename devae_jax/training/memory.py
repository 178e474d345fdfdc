"""What training needs of each device's memory, known before the first step."""

import math
import os
from typing import Any, NamedTuple

import jax


class Memory(NamedTuple):
    """Bytes on each device: tables of data, the state of all members, and what a step adds.

    tables: of a stream its chunks
    limit: what the device has, None if that is not known
    """

    tables: int
    state: int
    temporary: int
    limit: int | None = None

    def __str__(self) -> str:
        parts = f"{_mb(self.tables)} of tables, {_mb(self.state)} of state and "
        known = "" if self.limit is None else f" of {_mb(self.limit)}"
        total = _mb(self.tables + self.state + self.temporary)
        return f"{parts}{_mb(self.temporary)} of temporaries, {total}{known}"

    def check(self) -> None:
        """Raises ValueError, with the numbers, if it does not fit."""
        if self.limit is not None and self.tables + self.state + self.temporary > self.limit:
            raise ValueError(
                f"got a run that takes {self} on each device, expected one that fits; make "
                "batch_size or the model smaller, or use more devices"
            )


def limit_of(device: jax.Device) -> int | None:
    """Bytes that one device can hold; those of this process share its machine's memory on a CPU."""
    if device.platform == "cpu":
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return physical // jax.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def on_a_device(tree: Any) -> int:
    """Bytes of a tree of arrays, or shapes with shardings, on each device."""
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
