"""Figure 5: ten latents against 1,024, on dSprites."""

from devae_jax.configs.paper.figure2 import METHODS
from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Table

TABLE = Table(
    title="Figure 5: D = 10 against D = 1024, dSprites",
    columns=(Column("MIG", "mig"), Column("reconstruction", "reconstruction_sampled")),
    lines=tuple(
        Line(f"D = {dim}: {label}", config, {"model.latent_dim": dim})
        for dim in (10, 1024)
        for label, config in METHODS.items()
    ),
    presets=presets(gpu_steps=8_000),
    notes=(
        RENDERED,
        SUMMED,
        "the paper's text: DynamicVAE fails at D = 1024; β-VAE and DeVAE hold",
    ),
)
