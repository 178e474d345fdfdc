"""One process of a job on loopback: `python worker.py JSON`, see `main`."""

import json
import sys

import jax

from devae_jax.launch import processes
from devae_jax.launch.common import EXIT_STOPPED


def toy(steps: int, mode: str = "jit", images: str = "", progress: bool = False):
    """Ten steps and a checkpoint of the tiny DeVAE; of a folder of images if there is one."""
    from devae_jax.configs import devae

    config = devae.get_config("toy")
    config.steps, config.parallel.mode = steps, mode
    config.train.update({"log_every": 5, "checkpoint_every": 10, "eval_every": 0})
    config.train.update({"tensorboard": False, "progress": progress})
    if images:
        config.data.update({"name": "folder", "path": images, "image_size": 16, "channels": 1})
        config.data.source.kind = "stream"
    return config


def main(coordinator: str, count: int, process: int, devices: int, runs: list, images: str = ""):
    """Trains each of `runs`, [folder, mode, steps, members], all processes together."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)

    def run() -> int:
        from devae_jax.runs.train import train, train_members

        for folder, mode, steps, members in runs:
            config = toy(steps, mode, images, progress=True)
            done = train_members(config, members, folder) if members else [train(config, folder)]
            if done[0].step < steps:
                return EXIT_STOPPED
        return 0

    return processes.guarded(processes.Job(coordinator, count, process), run)


if __name__ == "__main__":
    sys.exit(main(**json.loads(sys.argv[1])))
