"""Table 4: the scale s of DeVAE's layers, on both data sets."""

from devae_jax.configs.paper.presets import COLUMNS, RENDERED, SUMMED, on_both, presets
from devae_jax.studies.table import Published, Table

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

TABLE = Table(
    title="Table 4: scale s of DeVAE's layers",
    columns=COLUMNS,
    lines=on_both(
        PUBLISHED,
        lambda scale: f"s = {scale:g}",
        lambda scale: {"objective.scale": scale},
    ),
    presets=presets(seeds=5, gpu_steps=12_000),
    notes=(RENDERED, SUMMED),
)
