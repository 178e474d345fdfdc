"""Figure 3: traversals of informative latents, drawn for every member."""

from devae_jax.configs.paper.figure2 import METHODS
from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Table

TABLE = Table(
    title="Figure 3: traversals on dSprites",
    columns=(Column("active latents", "active_units"), Column("MIG", "mig")),
    lines=tuple(Line(label, config) for label, config in METHODS.items()),
    presets={
        name: preset._replace(seeds=1)
        for name, preset in presets(gpu_steps=30_000, gpu_seeds=1, cpu_seeds=1).items()
    },
    draw=True,
    figure="traversals",
    notes=(
        RENDERED,
        SUMMED,
        "figure.png has the traversals of the first latent layer; those of the others, and "
        "animations, are figures/member_0/ in the folder of each run",
    ),
)
