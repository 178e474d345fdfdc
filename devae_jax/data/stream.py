"""Batches of images that do not fit on the device: read on the host, a chunk of steps at a time.

The order is a pure function of (seed, step): resuming reads on at the same image,
whatever the number of processes, and nothing but the step is saved. While a chunk is trained on,
the engine has the next one read and brought to the device.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from devae_jax.data.batches import check_size
from devae_jax.data.images import THREADS, read_images, scaled
from devae_jax.types import Array, Batch, Dataset, Shard, Source

Chunk = dict[str, np.ndarray]  # "image" uint8 [T, B / processes, H, W, C]


def source(dataset: Dataset, batch_size: int, *, seed: int = 0, threads: int = THREADS) -> Source:
    """Batches {"image"} in a new random order each epoch, this process's rows of them.

    seed: of the order, which does not follow the seed of the run
    threads: that read images side by side, each process
    Raises ValueError if the images are not read on the host, if the batch is larger than
    the data or the processes do not divide it, and for a negative seed.
    """
    process = Shard(jax.process_index(), jax.process_count())
    return of_process(dataset, batch_size, process, seed=seed, threads=threads)


def of_process(
    dataset: Dataset, batch_size: int, process: Shard, *, seed: int = 0, threads: int = THREADS
) -> Source:
    """As `source`, the rows that `process` reads.

    `take` gives the batch of a step as the chunk has it: a chunk whose rows were split over
    devices gives each device its own, whatever `shard` says.
    """
    import grain

    if dataset.read is None:
        raise ValueError(
            f"got data.source.kind='stream' for {dataset.name!r}, whose images are made on the "
            "device, expected 'ondevice'; fix data.source.kind"
        )
    check_size(dataset, batch_size)
    if batch_size % process.parts:
        raise ValueError(
            f"got batch_size={batch_size}, expected a multiple of the {process.parts} processes; "
            "fix batch_size"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"got data.source.seed={seed}, expected 0 to 2**32 - 1; fix the seed")
    if threads < 1:
        raise ValueError(f"got data.source.threads={threads}, expected 1 or more; fix threads")
    order = grain.MapDataset.range(dataset.size).shuffle(seed=seed).repeat()
    rows = batch_size // process.parts
    decoders = ThreadPoolExecutor(threads)

    def host_batches(step: int, count: int) -> Chunk:
        steps = step + np.arange(count)
        steps = np.roll(steps, step % count)  # the batch of step t goes to t % count
        places = steps[:, None] * batch_size + int(process.position) * rows + np.arange(rows)
        numbers = np.array([order[place] for place in places.ravel().tolist()])
        pixels = read_images(dataset, numbers, decoders)
        return {"image": pixels.reshape(count, rows, *dataset.image_shape)}

    def take(arrays: Chunk, key: Array, step: Array, shard: Shard = Shard()) -> Batch:  # noqa: B008
        del key, shard
        return {"image": scaled(arrays["image"][step % arrays["image"].shape[0]])}

    return Source(
        arrays=None,
        take=take,
        size=dataset.size,
        batch_size=batch_size,
        host_batches=host_batches,
    )
