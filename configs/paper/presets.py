"""What the paper's tables and figures share: sizes, notes, and lines on both data sets."""

from collections.abc import Callable, Mapping
from typing import Any

from devae_jax.studies.table import Column, Line, Preset, Published

IMAGES = (
    "32 x 32 pixels whose error is trained with four times the weight, to balance penalties as "
    "64 x 64 do, and reported as it is; networks of half the width, batch 64, learning rate 5e-4"
)
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
            instead={"dci": "dci_hist_boosted"},  # boosted trees take as long as training
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


BOTH = (("dSprites", "devae"), ("Shapes3D", "devae:shapes3d"))
COLUMNS = (Column("MIG", "mig"), Column("reconstruction", "reconstruction_sampled"))


def on_both(
    published: Mapping[Any, tuple[tuple[Published, Published], ...]],
    label: Callable[[Any], str],
    changes: Callable[[Any], Mapping[str, Any]],
) -> tuple[Line, ...]:
    """DeVAE at each of some settings, on dSprites and then on Shapes3D; for `COLUMNS`.

    published: setting -> (MIG, reconstruction error) on each data set
    label, changes: of a setting
    """
    return tuple(
        Line(
            f"{name}, {label(setting)}",
            config,
            changes(setting),
            {column.label: value for column, value in zip(COLUMNS, values[i], strict=True)},
        )
        for i, (name, config) in enumerate(BOTH)
        for setting, values in published.items()
    )
