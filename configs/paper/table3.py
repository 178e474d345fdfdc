"""Table 3: lists of pressures of DeVAE, on both data sets."""

from devae_jax.configs.paper.presets import COLUMNS, RENDERED, SUMMED, on_both, presets
from devae_jax.studies.table import Published, Table

PUBLISHED = {  # MIG and reconstruction error: dSprites, Shapes3D
    (1.0, 10.0, 20.0, 40.0, 80.0): (
        (Published(0.30, 0.03), Published(79.65, 16.06)),
        (Published(0.54, 0.06), Published(65.01, 25.37)),
    ),
    (1.0, 10.0, 40.0): (
        (Published(0.35, 0.02), Published(51.99, 26.99)),
        (Published(0.57, 0.01), Published(43.24, 11.41)),
    ),
    (1.0, 10.0): (
        (Published(0.16, 0.11), Published(38.19, 2.35)),
        (Published(0.55, 0.04), Published(39.31, 6.96)),
    ),
}

TABLE = Table(
    title="Table 3: pressures β of DeVAE",
    columns=COLUMNS,
    lines=on_both(
        PUBLISHED,
        lambda betas: f"β = [{', '.join(f'{beta:g}' for beta in betas)}]",
        lambda betas: {"model.num_layers": len(betas), "objective.terms.kl.betas": betas},
    ),
    presets=presets(gpu_steps=12_000),
    notes=(RENDERED, SUMMED),
)
