"""Chunks of streamed batches: read ahead, and split over the devices that use them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA = "data"  # the mesh axis over which the rows of a batch are split
HELD = 2  # chunks of a stream at once: the one in use, and the one that is read ahead


def read_ahead(read: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    """read(step, count), whose next chunk a thread reads and places while this one is used.

    The members of a population that take turns get one chunk, read once.
    """
    reader = ThreadPoolExecutor(1)
    chunks: dict[tuple[int, int], Future[Any]] = {}

    def chunk(step: int, count: int) -> Any:
        wanted, following = (step, count), (step + count, count)
        kept = {place: chunks[place] for place in (wanted, following) if place in chunks}
        chunks.clear()
        for place in (wanted, following):
            chunks[place] = kept.get(place) or reader.submit(read, *place)
        return chunks[wanted].result()

    return chunk


def placed(chunk: Any, mesh: Mesh, mode: str) -> Any:
    """Streamed batches of this process, leaves [T, B, ...], on its devices."""
    if mode == "pmap":
        return by_device(chunk, mesh)
    split = NamedSharding(mesh, PartitionSpec(None, DATA))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split, x), chunk)


def by_device(chunk: Any, mesh: Mesh) -> Any:
    """Batches [T, B, ...] of this process as [T, devices, B / devices, ...]."""
    count = mesh.local_mesh.size
    return jax.tree.map(lambda x: x.reshape(x.shape[0], count, -1, *x.shape[2:]), chunk)


def as_one(chunk: Any, mesh: Mesh) -> Any:
    """What `by_device` gives, [T, devices, b, ...], as shapes of one array of all processes."""
    split = NamedSharding(mesh, PartitionSpec(None, DATA))

    def shape(x: Any) -> jax.ShapeDtypeStruct:
        whole = (x.shape[0], mesh.size * x.shape[2], *x.shape[3:])
        return jax.ShapeDtypeStruct(whole, x.dtype, sharding=split)

    return jax.tree.map(shape, chunk)
