"""Table 3: lists of pressures of DeVAE, on both data sets."""

from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Published, Table

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
SETS = (("dSprites", "devae"), ("Shapes3D", "devae:shapes3d"))

TABLE = Table(
    title="Table 3: pressures β of DeVAE",
    columns=(Column("MIG", "mig"), Column("reconstruction", "reconstruction_sampled")),
    lines=tuple(
        Line(
            f"{name}, β = [{', '.join(f'{beta:g}' for beta in betas)}]",
            config,
            {"model.num_layers": len(betas), "objective.terms.kl.betas": betas},
            {"MIG": values[i][0], "reconstruction": values[i][1]},
        )
        for i, (name, config) in enumerate(SETS)
        for betas, values in PUBLISHED.items()
    ),
    presets=presets(gpu_steps=12_000),
    notes=(RENDERED, SUMMED),
)
