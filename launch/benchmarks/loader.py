"""Images a second from files, beside torch's DataLoader and what the training step eats."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from devae_jax import data
from devae_jax.launch.benchmarks import runs, twin
from devae_jax.launch.benchmarks.measure import Options, Row, interleave
from devae_jax.program import plan as programs
from devae_jax.training.chunks import read_ahead
from devae_jax.training.engine import engine

SIDE = 64
CALLS = 4  # batches a chunk


class Files(NamedTuple):
    """A data set on disk, as `data.load` takes it. Also torch's map of numbers to images.

    Each process of a DataLoader opens it again.
    """

    name: str
    path: str
    size: int

    def dataset(self) -> Any:
        return _opened(self)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: Any) -> Any:
        pixels = self.dataset().read(int(number))
        return pixels.transpose(2, 0, 1).astype(np.float32) / 255


@functools.cache
def _opened(files: Files) -> Any:
    return data.load(files.name, data.Request(path=files.path, image_size=SIDE))


def run(options: Options) -> list[Row]:
    """A row for each format: milliseconds a batch of images [64, 64, 3], shuffled, on the device.

    Ours reads chunks ahead by as many threads as the DataLoader has processes, one a core. Without
    PyTorch its columns are empty. The fact `times_the_step` says how many training steps
    (K = 1) the format could feed.
    """
    batch, size = (8, 16) if options.tiny else (64, 2048)
    workers = len(os.sched_getaffinity(0))
    config = runs.config(options, batch=batch, layers=1)
    planned = programs.plan(config)
    trainer = engine(planned.program, planned.hparams, devices=jax.devices()[:1])
    calls: dict[str, Callable[[], Any]] = {"step": runs.stepper(trainer, 1)}
    torch = _torch()
    with tempfile.TemporaryDirectory() as folder:
        formats = _written(Path(folder), size)
        for name, files in formats.items():
            calls[name] = _ours(files, batch, workers)
            if torch is not None:
                calls[f"{name}, torch"] = _theirs(torch, files, batch, workers)
        turn = 0.02 if options.tiny else 0.5
        times = interleave(calls, seconds=options.minutes * 60, turn=turn)
        _opened.cache_clear()
    rows = []
    for name in formats:
        mine, peer = times[name], times.get(f"{name}, torch")
        facts: dict[str, float | str] = {
            "images_per_second": 1e3 * CALLS * batch / mine.median,
            "workers": workers,
            "times_the_step": times["step"].median / (mine.median / CALLS),
        }
        if peer is not None:
            facts["peer_images_per_second"] = 1e3 * CALLS * batch / peer.median
        rows.append(
            Row(
                "loader",
                f"{name}, batch {batch}",
                mine.median / CALLS,
                "" if peer is None else "torch DataLoader",
                None if peer is None else peer.median / CALLS,
                facts=facts,
            )
        )
    return rows


def _torch() -> Any:
    try:
        return twin.load_torch()
    except ValueError as error:
        print(f"without torch's DataLoader: {error}")
        return None


def _written(folder: Path, size: int) -> dict[str, Files]:
    """The same images in every format: smooth noise, which compresses as photographs do."""
    coarse = np.random.RandomState(0).randint(0, 256, (size, 12, 12, 3), np.uint8)
    pictures = [Image.fromarray(c).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for c in coarse]
    for suffix in ("jpg", "png"):
        (folder / suffix).mkdir()
        for number, picture in enumerate(pictures):
            picture.save(folder / suffix / f"{number}.{suffix}")
    np.save(folder / "images.npy", np.stack([np.asarray(picture) for picture in pictures]))
    pngs = sorted((folder / "png").iterdir())
    return {
        "JPEG": Files("folder", str(folder / "jpg"), size),
        "PNG": Files("folder", str(folder / "png"), size),
        "ArrayRecord of PNG": Files("records", _records(folder, pngs), size),
        "memory-mapped": Files("mapped", str(folder / "images.npy"), size),
    }


def _records(folder: Path, pngs: list[Path]) -> str:
    """A tfds data set of these files; its folder."""
    import contextlib
    import io

    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    base: Any = tfds.core.GeneratorBasedBuilder

    with registered.skip_registration():

        class Pictures(base):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                image = tfds.features.Image(shape=(SIDE, SIDE, 3))
                features = tfds.features.FeaturesDict({"image": image})
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                del dl_manager
                return {"train": self._generate_examples()}

            def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
                for number, png in enumerate(pngs):
                    yield number, {"image": io.BytesIO(png.read_bytes())}

    made = Pictures(data_dir=folder / "tfds", file_format="array_record")
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()):
        made.download_and_prepare()
    return str(made.data_path)


def _ours(files: Files, batch: int, threads: int) -> Callable[[], Any]:
    read = data.SOURCES["stream"](files.dataset(), batch, threads=threads).host_batches
    assert read is not None, "streams read on the host"
    chunk, step = read_ahead(lambda step, count: jax.device_put(read(step, count))), 0

    def call():
        nonlocal step
        jax.block_until_ready(chunk(step, CALLS))
        step += CALLS

    return call


def _theirs(torch: Any, files: Files, batch: int, workers: int) -> Callable[[], Any]:
    from torch.utils.data import DataLoader

    loader = DataLoader(
        files,
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",  # this process has threads, which a fork would lose
    )

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    batches = endless()
    return lambda: [next(batches) for _ in range(CALLS)]
