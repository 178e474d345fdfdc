"""What grows in a long run: python -m tests.reliability.long_run FOLDER STEPS

Trains a tiny VAE and looks at the process a hundred times: memory, open files, threads, and what
lies in the folder. Prints JSON.
"""

import json
import os
import pathlib
import sys
import threading
import time

SHARE = 0.3  # of the run, until which buffers and caches may fill


def look(folder):
    """Memory in MB, open files, threads, kB of rows a row, checkpoints."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    rows = folder / "metrics.jsonl"
    content = rows.read_bytes() if rows.exists() else b""
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "row": len(content) / max(content.count(b"\n"), 1),
        "checkpoints": sum(item.name.isdigit() for item in (folder / "checkpoints").glob("*")),
        "events": sum(item.stat().st_size for item in (folder / "tensorboard").glob("*")),
    }


def main(folder, steps):
    from devae_jax.runs.train import train
    from devae_jax.training import loop
    from tests.laws.registry import config_of

    config = config_of("beta_vae")
    config.model.encoder = config.model.decoder = "mlp"
    config.steps, config.batch_size = steps, 8
    config.train.log_every, config.train.eval_every = 20, 0
    config.train.checkpoint_every = max(steps // 100, 20)
    config.train.tensorboard = True
    looks, start = [], time.monotonic()
    advance = loop.window_mean

    def watched(metrics):
        """Called after every window."""
        watched.windows += 1
        if watched.windows % max(steps // 20 // 100, 1) == 0:
            looks.append(look(folder))
        return advance(metrics)

    watched.windows = 0
    loop.window_mean = watched
    train(config, folder)
    early, late = looks[int(SHARE * len(looks))], looks[-1]
    print(
        json.dumps(
            {
                "steps": steps,
                "seconds": round(time.monotonic() - start),
                "rows": watched.windows,
                "early": early,
                "late": late,
                "most": {name: max(seen[name] for seen in looks) for name in early},
            }
        )
    )


if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
