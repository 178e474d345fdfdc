"""A small disk of its own for one process: python -m tests.reliability.disk FOLDER BYTES

Mounts a tmpfs of that size, trains a small run in it until it is full, says what happened as
JSON, makes room, and gives the same command again.
"""

import json
import pathlib
import subprocess
import sys
import warnings

import jax


def mounted(folder, size):
    """Whether there is such a disk now; needs the right to mount."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def main(folder, size):
    from devae_jax.files import StorageError
    from devae_jax.runs import results
    from devae_jax.runs.folder import Folder
    from devae_jax.runs.train import train
    from tests.runs.test_training import small

    warnings.simplefilter("ignore")
    disk, whole = folder / "disk", folder / "whole"
    options = {"metrics": ("kl",), "seeds": (0,), "calibrate": False, "progress": False}

    def everything(path):
        run = train(small("beta_vae"), path, resume_results=True)
        results.draw(run, results.score(run, **options))
        return run

    everything(whole)
    if not mounted(disk, "64m"):
        print("cannot mount")
        return
    lines, steps = [], []
    try:
        for room in range(int(size), 2**26, int(size)):
            subprocess.run(["mount", "-o", f"remount,size={room}", str(disk)], check=True)
            try:
                everything(disk / "run")
                break
            except StorageError as error:
                lines.append(str(error))
            saved = Folder(disk / "run")
            if (saved.path / "checkpoints").is_dir():
                steps.append(max(saved.checkpoints(alone=True).good_steps(), default=0))
        same = (disk / "run/metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
        last = Folder(disk / "run").has_results(40)
        print(json.dumps({"lines": lines, "steps": steps, "same": same, "results": last}))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
