"""A tiny run as this version leaves it, for later ones to read.

`python -m tests.reliability.write_run` writes tests/fixtures/run_format<FORMAT>: config,
checkpoint, rows of metrics, scores, and expected.json with codes of a few images. Make it when
FORMAT is raised; keep the older ones.
"""

import os
import shutil
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from devae_jax.files import FORMAT, write_json
from devae_jax.runs import results
from devae_jax.runs.run import load
from devae_jax.runs.train import train

FOLDER = Path(__file__).parents[1] / "fixtures" / f"run_format{FORMAT}"
SAVED, LAST = 20, 30
SCORING = {
    "metrics": ("kl", "mig"),
    "seeds": (0,),
    "num_train": 384,
    "num_test": 200,
    "calibrate": False,
    "progress": False,
}


def config(steps=SAVED):
    """Two latent layers, a controller's integral and a second player: what a state can hold."""
    control = {"target": 2.0, "start": 0.5, "target_steps": 40.0, "interval_steps": 5.0}
    control |= {"k_p": 0.01, "k_i": 0.001, "beta_min": 1.0, "beta_max": 100.0}
    return {
        "method": "fixture",
        "steps": steps,
        "batch_size": 8,
        "data": {"name": "toy", "image_size": 8},
        "model": dict.fromkeys(("encoder", "decoder"), "mlp")
        | {"width": 4, "latent_dim": 2, "num_layers": 2, "latents": "dit"},
        "objective": {
            "terms": {
                "kl": {"kind": "control_vae"} | control,
                "tc": {"kind": "density_ratio", "gamma": 2.0, "width": 4, "depth": 0},
            }
        },
        "parallel": {"devices": 1},
        "optimizer": {"learning_rate": 1e-2, "players": {"tc": {"learning_rate": 1e-3}}},
        "train": {"log_every": 5, "checkpoint_every": SAVED, "eval_every": 0}
        | dict.fromkeys(("tensorboard", "progress"), False),
    }


def images(run):
    """Four images of the data set."""
    return run.dataset.observe(run.dataset.arrays, jnp.asarray([[0, 0, 0, 0], [1, 2, 3, 4]]))


def expected(run):
    """Codes and their decoded images."""
    codes = run.encode(images(run))
    return {
        "mean": np.asarray(codes.mean),
        "logvar": np.asarray(codes.logvar),
        "decoded": np.asarray(run.decode(codes.mean[0])).mean((1, 2, 3)),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = train(config(), Path(folder) / "run")
        results.score(run, **SCORING)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(run.folder.path, FOLDER)
        for note in FOLDER.rglob("commit_success.txt"):  # of where it was written
            note.write_text("")
        numbers = expected(load(FOLDER))
        train(config(LAST), Path(folder) / "run")
        losses = [row["loss"] for row in run.folder.metrics() if row["step"] > SAVED]
        write_json(FOLDER / "expected.json", numbers | {"losses": losses})
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{os.path.relpath(FOLDER)}: {size:,} bytes")


if __name__ == "__main__":
    main()
