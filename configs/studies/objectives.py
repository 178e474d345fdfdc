"""Forms of DeVAE's objective and of its layers, on dSprites."""

from devae_jax.configs.paper.presets import RENDERED, presets
from devae_jax.studies.table import Column, Line, Table

SCORES = {
    "MIG": "mig",
    "reconstruction": "reconstruction_sampled",
    "KL": "kl",
    "active units": "active_units",
}

TABLE = Table(
    title="DeVAE's objective: summed, sampled, capacities; layers by DiT, parallel, linear, single",
    columns=tuple(
        Column(f"{label}, layer {layer + 1}", score, layer)
        for layer in (0, 2)
        for label, score in SCORES.items()
    ),
    lines=(
        Line("sum over layers", "devae"),
        Line("one layer a mini-batch", "devae:sampled"),
        Line("capacities", "devae:capacity"),
        Line("parallel spaces", "devae:parallel"),
        Line("linear maps", "devae:linear"),
        Line("single space", "devae:single"),
    ),
    presets=presets(gpu_steps=20_000),
    notes=(
        RENDERED,
        "DiT scales axes, so that MIG of means is the same in each layer by construction",
    ),
)
