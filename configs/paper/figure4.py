"""Figure 4: information diffusion of DynamicVAE against DeVAE over training."""

from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Table

SHARES = (0.25, 0.5, 0.75, 1.0)

TABLE = Table(
    title="Figure 4: information diffusion over training, dSprites",
    columns=tuple(
        Column(f"{label}, {share:.0%} of training", f"eval/{score}", at=share)
        for label, score in (("diffusion", "diffusion"), ("MIG", "mig"))
        for share in SHARES
    ),
    lines=(Line("DynamicVAE", "dynamic_vae"), Line("DeVAE", "devae")),
    presets=presets(gpu_steps=30_000),
    figure="diffusion",
    notes=(
        RENDERED,
        SUMMED,
        "the paper plots the mutual information of every latent with every factor, and so does "
        "figure.png, of the first seed, at eighths of training",
        "diffusion is the part of a factor's information outside its main latent, and less is "
        "better",
    ),
)
