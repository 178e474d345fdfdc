"""The sizes at which the paper's tables and figures are made."""

from devae_jax.studies.table import Preset

IMAGES = "32 x 32 pixels, networks of half the width, batch 64, learning rate 5e-4"
RENDERED = "data sets are rendered here after dSprites and Shapes3D, not the published files"
SUMMED = (
    "DeVAE trains the sum over layers, as the author's code; the paper's Algorithm 1 draws one "
    "layer a mini-batch (`devae:sampled`)"
)


def presets(
    *, seeds: int = 10, cpu_seeds: int = 3, gpu_steps: int = 15_000, gpu_seeds: int = 3
) -> dict[str, Preset]:
    """paper, gpu, cpu and smoke.

    The steps of `gpu` and `cpu` are chosen for ten minutes of an H100 a table and for twenty
    minutes of two cores a run, by estimate from the cost of a step: neither was timed on the whole.
    """
    return {
        "paper": Preset(seeds),
        "gpu": Preset(
            gpu_seeds,
            steps=gpu_steps,
            changes={"train.eval_every": 1_000, "train.checkpoint_every": 5_000},
            cut=f"{gpu_steps:,} of 300,000 steps, {gpu_seeds} seeds",
        ),
        "cpu": Preset(
            cpu_seeds,
            variants="cpu",
            steps=20_000,
            at_once=1,  # members take turns on a CPU: alone, each can be left to another process
            cut=f"20,000 of 300,000 steps, {cpu_seeds} seeds, {IMAGES}",
        ),
        "smoke": Preset(
            2,
            variants="toy",
            steps=20,
            changes={
                "train.log_every": 10,
                "train.checkpoint_every": 20,
                "train.eval_every": 10,
                "train.tensorboard": False,
                "train.progress": False,
                "eval.samples": 200,
            },
            cut="a check that all of it runs: toy images, 20 steps",
        ),
    }
