"""Table 4: the scale s of DeVAE's layers, on both data sets."""

from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Published, Table

PUBLISHED = {  # MIG and reconstruction error: dSprites, Shapes3D
    0.3: (
        (Published(0.21, 0.14), Published(16.01, 1.14)),
        (Published(0.55, 0.02), Published(24.43, 1.37)),
    ),
    0.5: (
        (Published(0.29, 0.09), Published(22.40, 1.78)),
        (Published(0.57, 0.02), Published(28.48, 3.31)),
    ),
    1.0: (
        (Published(0.35, 0.02), Published(51.99, 26.99)),
        (Published(0.57, 0.01), Published(43.24, 11.41)),
    ),
}
SETS = (("dSprites", "devae"), ("Shapes3D", "devae:shapes3d"))

TABLE = Table(
    title="Table 4: scale s of DeVAE's layers",
    columns=(Column("MIG", "mig"), Column("reconstruction", "reconstruction_sampled")),
    lines=tuple(
        Line(
            f"{name}, s = {scale:g}",
            config,
            {"objective.scale": scale},
            {"MIG": values[i][0], "reconstruction": values[i][1]},
        )
        for i, (name, config) in enumerate(SETS)
        for scale, values in PUBLISHED.items()
    ),
    presets=presets(seeds=5, gpu_steps=12_000),
    notes=(RENDERED, SUMMED),
)
