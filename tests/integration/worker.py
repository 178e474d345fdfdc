"""One process of a job on loopback: `python worker.py JSON`, see `main`."""

import json
import sys

import jax

from devae_jax.launch import processes


def toy(steps: int, mode: str = "jit", images: str = ""):
    """Ten steps and a checkpoint of the tiny DeVAE; of a folder of images if there is one."""
    from devae_jax.configs import devae

    config = devae.get_config("toy")
    config.steps, config.parallel.mode = steps, mode
    config.train.update({"log_every": 5, "checkpoint_every": 10, "eval_every": 0})
    config.train.update({"tensorboard": False, "progress": False})
    if images:
        config.data.update({"name": "folder", "path": images, "image_size": 16, "channels": 1})
        config.data.source.kind = "stream"
    return config


def main(
    coordinator: str,
    count: int,
    process: int,
    folder: str,
    devices: int,
    members: list,
    images: str = "",
):
    """Trains 10 steps in folder/jit and folder/pmap, all processes together."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    processes.join(processes.Job(coordinator, count, process))
    from devae_jax.runs.train import train, train_members

    for mode in ("jit", "pmap"):
        if members:
            train_members(toy(10, mode, images), members, f"{folder}/{mode}")
        else:
            train(toy(10, mode, images), f"{folder}/{mode}")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
