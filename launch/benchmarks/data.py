"""Batches a second of every source, beside what the training step of this machine eats."""

import jax
import numpy as np

from devae_jax import data, rng
from devae_jax.program.plan import plan
from devae_jax.training.chunks import read_ahead
from devae_jax.training.engine import engine
from devae_jax.types import Dataset, Source
from launch.benchmarks import runs
from launch.benchmarks.measure import Options, Row, interleave

SOURCES = (
    "toy",
    "dsprites_regen",
    "dsprites_regen, epoch",
    "dsprites_regen, pairs",
    "dsprites_regen_noshape",
    "dsprites_regen_color",
    "dsprites_regen_noisy",
    "shapes3d_like",
)
KINDS: dict[str, tuple[str, dict[str, str]]] = {  # what follows a name in SOURCES
    "": ("ondevice", {}),
    "epoch": ("ondevice", {"sampling": "epoch"}),
    "pairs": ("pairs", {}),
}
CALLS = 8


def run(options: Options) -> list[Row]:
    """A row for each embedded source, drawn inside jit, and one for streamed images.

    The last fact, `times_the_step`, says how many training steps (K = 1, data included) a
    source could feed.
    """
    batch = 8 if options.tiny else 256
    config = runs.config(options, batch=batch, layers=1)
    planned = plan(config)
    trainer = engine(planned.program, planned.hparams, devices=jax.devices()[:1])
    calls = {"step": runs.stepper(trainer, 1)}
    held = {}
    for name in SOURCES[:1] if options.tiny else SOURCES:
        kind, settings = KINDS[name.partition(", ")[2]]
        dataset = data.load(name.partition(", ")[0], data.Request(options.data_dir or ""))
        source = data.SOURCES[kind](dataset, batch, **settings)
        calls[name], held[name] = _drawn(source), source
    streamed = data.SOURCES["stream"](_noise(1024, config.data.image_size), batch)
    calls["streamed"], held["streamed"] = _streamed(streamed), streamed
    turn = 0.02 if options.tiny else 0.3
    times = interleave(calls, seconds=options.minutes * 60, turn=turn)
    rows = []
    for name, source in held.items():
        facts = {
            "images_per_second": 1e3 * CALLS * batch / times[name].minimum,
            "table_MB": sum(x.nbytes for x in jax.tree.leaves(source.arrays)) / 1e6,
            "times_the_step": times["step"].minimum / (times[name].minimum / CALLS),
        }
        case = f"{name}, batch {batch}"
        rows.append(Row("data", case, times[name].median / CALLS, facts=facts))
    return rows


def _drawn(source: Source):
    take, key, step = jax.jit(source.take), rng.stream(rng.seed(0), "data"), 0

    def call():
        nonlocal step
        for _ in range(CALLS):
            batch = take(source.arrays, key, np.int32(step))
            step += 1
        jax.block_until_ready(batch)

    return call


def _streamed(source: Source):
    """The host reads chunks ahead; the device takes batches out of them."""
    take, key, step = jax.jit(source.take), rng.seed(0), 0
    read = source.host_batches
    assert read is not None
    chunk = read_ahead(lambda step, count: jax.device_put(read(step, count)))

    def call():
        nonlocal step
        arrays = chunk(step, CALLS)
        for _ in range(CALLS):
            batch = take(arrays, key, np.int32(step))
            step += 1
        jax.block_until_ready(batch)

    return call


def _noise(size: int, pixels: int) -> Dataset:
    """Images in memory: the cost of streaming without that of decoding files."""
    images = np.random.RandomState(0).randint(0, 256, (size, pixels, pixels, 1), np.uint8)
    return Dataset(
        name="noise",
        image_shape=images.shape[1:],
        size=size,
        identity={},
        read=lambda number: images[number],
    )
