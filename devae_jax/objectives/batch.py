"""Batches that are split over the devices of a mapped axis: gather them, cut them, draw for them.

With `axis_name` None there is one device and nothing to do. Under a mapped axis of n devices
each one holds B / n rows of the global batch of B, in the order of the devices. Work that is
done for each row on `local` rows costs every device 1 / n of it, and a mean over those rows is
a value whose mean over the devices is that of the global batch.
"""

from collections.abc import Callable
from typing import Any

import jax

from devae_jax.types import Array, Shard


def gather(tree: Any, axis_name: str | None, axis: int) -> Any:
    """Leaves of the global batch, B rows along `axis`, from each device's B / n."""
    if axis_name is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, axis=axis, tiled=True), tree)


def local(tree: Any, axis_name: str | None, axis: int) -> Any:
    """This device's B / n rows of leaves that every device has whole, B along `axis`.

    Raises:
      ValueError: n does not divide B.
    """
    if axis_name is None:
        return tree
    devices, position = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)

    def cut(leaf: Array) -> Array:
        rows, rest = divmod(leaf.shape[axis], devices)
        if rest:
            raise ValueError(
                f"got {leaf.shape[axis]} rows to share between {devices} devices, expected a "
                "multiple; fix batch_size"
            )
        return jax.lax.dynamic_slice_in_dim(leaf, position * rows, rows, axis)

    return jax.tree.map(cut, tree)


def micro_rows(rows: Array, micro: Shard, axis_name: str | None, views: int = 1) -> Array:
    """Of rows [K, V B, D] of the global batch those that all devices compute in one part of it.

    Each of the devices cuts its own rows of every view into `micro.parts`.
    """
    if micro.parts == 1:
        return rows
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    split = rows.reshape(rows.shape[0], views * devices, micro.parts, -1, rows.shape[-1])
    part = jax.lax.dynamic_index_in_dim(split, micro.position, axis=2, keepdims=False)
    return part.reshape(rows.shape[0], -1, rows.shape[-1])


def draw(
    sampler: Callable[[Array, tuple[int, ...]], Array],
    key: Array,
    shape: tuple[int, ...],
    axis_name: str | None,
) -> Array:
    """sampler(key, shape) for this device's rows, `shape` [b, ...], of one draw for all of them.

    The numbers of a row do not depend on the number of devices.
    """
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    return local(sampler(key, (devices * shape[0], *shape[1:])), axis_name, axis=0)
