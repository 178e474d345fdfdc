"""What a run needs is known before its first step, and refused where it does not fit."""

import threading

import jax
import numpy as np
import pytest
from PIL import Image

from devae_jax.program import plan as programs
from devae_jax.runs.train import train
from devae_jax.training import chunks, memory
from devae_jax.training import engine as engines
from devae_jax.training.engine import MODES, engine
from tests.laws.registry import config_of

COMPILED = "/jax/core/compile/backend_compile_duration"


def nbytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("mode, members", [(MODES[0], None), (MODES[0], 2), (MODES[1], None)])
def test_what_advance_needs_is_known_and_compiled_once(mode, members):
    plan = programs.plan(config_of("vae"), [{"seed": i} for i in range(members or 0)])
    hparams = programs.stacked(plan) if members else plan.hparams
    bound = engine(plan.program, hparams, members=members, mode=mode, devices=jax.devices()[:2])
    state = bound.init()
    needed = bound.memory(0, 2)
    assert needed.tables == nbytes(plan.program.source.arrays)
    assert needed.state == nbytes(state)
    assert needed.temporary > 0
    if members is None:
        times = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda name, *_, **__: times.append(name) if name == COMPILED else None
        )
        bound.advance(state, 0, 2)
        assert not times


@pytest.fixture
def streamed(tmp_path):
    """A plan whose batches of four images, 8 x 8, are read from files."""
    config = config_of("vae")
    for i, pixels in enumerate(np.random.RandomState(0).randint(0, 256, (8, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    config.data.update({"name": "folder", "path": str(tmp_path), "image_size": 8, "channels": 1})
    config.data.source.kind, config.batch_size = "stream", 4
    return programs.plan(config)


def test_a_stream_needs_the_same_in_both_modes(streamed):
    """Under pmap its chunks have an axis of devices, and no shardings."""
    program, hparams, devices = streamed.program, streamed.hparams, jax.devices()[:2]
    needed = [engine(program, hparams, mode=mode, devices=devices).memory(0, 3) for mode in MODES]
    # The chunk in use and the next one: three steps, two of four images each.
    assert needed[0].tables == 2 * 3 * 2 * 8 * 8
    assert needed[0] == needed[1]


def test_the_chunks_of_a_stream_that_are_counted_lie_on_the_devices(streamed, monkeypatch):
    read = threading.Semaphore(0)

    def placed(*args):
        chunk = chunks.placed(*args)
        read.release()
        return chunk

    monkeypatch.setattr(engines, "placed", placed)
    bound = engine(streamed.program, streamed.hparams, devices=jax.devices()[:2])
    steps = 7  # no other array here has an axis of so many
    needed, state = bound.memory(0, steps), bound.init()
    for step in range(0, 3 * steps, steps):
        state, _ = bound.advance(state, step, steps)
    for _ in range(4):  # the next one too, by a thread
        assert read.acquire(timeout=60)
    here = [x.addressable_data(0) for x in jax.live_arrays() if x.shape[:2] == (steps, 4)]
    assert nbytes(here) == needed.tables


def test_a_run_that_does_not_fit_is_refused_with_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "limit_of", lambda device: 10_000)
    with pytest.raises(ValueError, match=r"of state and .* MB of 0 MB on each device, .* fits"):
        train(config_of("vae"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_are_said():
    needed = memory.Memory(377_500_000, 9_200_000, 145_100_000, 85_000_000_000)
    assert str(needed) == (
        "378 MB of tables, 9 MB of state and 145 MB of temporaries, 532 MB of 85,000 MB"
    )
    needed.check()
    with pytest.raises(ValueError, match="532 MB of 500 MB on each device"):
        needed._replace(limit=500_000_000).check()
