"""Kills at random moments: python -m tests.reliability.chaos FOLDER KILLS SEED [real]

This process forks one that trains, kills it (SIGKILL) after a random time, forks the next, and so
on; a run that was killed any number of times must end as one that never was. Without `real` the
steps are a few numbers made by NumPy, so that a run is all files: lock, config, rows, events,
checkpoints. With it a small VAE is trained, scored and drawn.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import time
import traceback

import numpy as np

STEPS = 12  # of a run of nothing, with a checkpoint at every second one


def counted(path):
    """Trains steps of nothing in a folder, from where it stopped."""
    import jax

    from devae_jax.configs import beta_vae
    from devae_jax.files import write_json
    from devae_jax.program.keys import to_json
    from devae_jax.runs.folder import Folder
    from devae_jax.training import loop
    from devae_jax.training.engine import Engine
    from devae_jax.training.sinks import Followed
    from devae_jax.types import TrainState

    device = jax.devices()[0]
    place = jax.sharding.SingleDeviceSharding(device)

    def state_of(step, values):
        parts = {"params": {"model": {"kernel": values}}, "opt_state": {"mu": values * 2}}
        arrays = {"step": np.int32(step), "carry": {}} | parts
        key = jax.random.wrap_key_data(jax.device_put(np.array([0, 1], np.uint32), device))
        return TrainState(key=key, **jax.device_put(arrays, device))

    def advance(state, step, count):
        values = np.asarray(state.params["model"]["kernel"])
        for t in range(step, step + count):
            values = np.sin(values * 1.1 + t).astype(np.float32)
        loss = np.full(count, values.mean())
        return state_of(step + count, values), {"loss": loss, "grad_norm": loss}

    first = state_of(0, np.arange(5000, dtype=np.float32))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), first)
    engine = Engine(lambda: first, advance, shapes, lambda state, member: state, lambda *_: None)
    config = beta_vae.get_config("toy")
    config.steps = STEPS
    folder = Folder(path)
    with folder.writing():
        folder.prepare(config, resume_results=True)
        _, state = loop.train(
            engine,
            folder.checkpoints(keep=2),
            loop.Schedule(steps=STEPS, log_every=1, checkpoint_every=2, eval_every=0),
            meta={"members": [], "data": {"name": "numbers"}, "config": to_json(config)},
            same_run=folder.check_same,
            open_writer=lambda step: folder.writer(step, tensorboard=[Followed(path, {})]),
            progress=False,
        )
        write_json(path / "end.json", digest(state))


def trained(path):
    """Trains, scores and draws a small VAE, from where it stopped."""
    import tempfile

    import jax

    from devae_jax.files import write_json
    from devae_jax.runs import results
    from devae_jax.runs.train import train
    from tests.runs.test_training import small

    compiled = pathlib.Path(tempfile.gettempdir(), f"chaos_compiled_{os.getppid()}")
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    run = train(small("beta_vae"), path, resume_results=True)
    options = {"metrics": ("kl", "mig"), "seeds": (0,), "calibrate": False, "progress": False}
    results.draw(run, results.score(run, **options))
    write_json(path / "end.json", digest(run.state))


def digest(state):
    import jax

    found = hashlib.sha256()
    for leaf in jax.tree.leaves((state.step, state.params, state.opt_state)):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def attempt(work, path, seconds=None):
    """Whether a forked process did its work to the end; after `seconds` it is killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open(path.with_suffix(".log"), "w") as log:
                os.dup2(log.fileno(), 2)
                work(path)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if seconds is not None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return finished(path)
            time.sleep(0.001)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return finished(path)


def finished(path):
    return (path / "end.json").exists()


def ends(path):
    """All that a run leaves and that says how it went."""
    return [
        (path / name).read_bytes()
        for name in ("end.json", "metrics.jsonl", "scores.json")
        if (path / name).exists()
    ]


def main(folder, kills, seed, real=False):
    """What became of runs that were killed so many times: counts, as a dict."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import devae_jax.runs.results
    import devae_jax.runs.train  # noqa: F401  # children find it imported

    work, draw = trained if real else counted, random.Random(seed)
    whole = folder / "whole" / "run"
    whole.parent.mkdir(parents=True)
    assert attempt(work, whole), whole.with_suffix(".log").read_text()  # compiles
    shutil.rmtree(whole)
    start = time.monotonic()
    assert attempt(work, whole), whole.with_suffix(".log").read_text()
    length = time.monotonic() - start
    done, runs, same = 0, 0, 0
    while done < kills:
        path = folder / str(runs) / "run"
        path.parent.mkdir()
        while not finished(path):
            limit = draw.uniform(0.1 * length, length) if done < kills else None
            ended = attempt(work, path, limit)
            if limit is None:
                assert ended, path.with_suffix(".log").read_text()
            done += not ended
        runs += 1
        same += ends(path) == ends(whole)
        # A killed writer's own small file stays for ten minutes: another may be writing it.
        left = [item.name for item in path.rglob("*tmp*") if not re.match(r"\..*\.tmp$", item.name)]
        assert not left, left
        shutil.rmtree(path)
    return {"kills": done, "runs": runs, "same": same, "seconds": round(length, 2)}


if __name__ == "__main__":
    print(json.dumps(main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:4]), *sys.argv[4:])))
