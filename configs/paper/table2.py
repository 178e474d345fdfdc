"""Table 2: what the chain of latent layers and its transformation are good for, on dSprites."""

from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.studies.table import Column, Line, Published, Table

LAYERS = (0, 1, 2)
PUBLISHED = {  # MIG and reconstruction error of layers 1, 2, 3
    ("hierarchy, linear maps", "devae:linear"): ((0.24, 0.29, 0.30), (38.82, 45.48, 63.78)),
    ("parallel spaces", "devae:parallel"): ((0.24, 0.32, 0.35), (22.21, 40.79, 62.40)),
    ("DeVAE", "devae"): ((0.35, 0.35, 0.35), (43.29, 75.11, 175.99)),
}


def _values(migs, errors):
    return {f"MIG, layer {i + 1}": Published(mig) for i, mig in enumerate(migs)} | {
        f"reconstruction, layer {i + 1}": Published(error) for i, error in enumerate(errors)
    }


TABLE = Table(
    title="Table 2: ablations on dSprites",
    columns=(
        *(Column(f"MIG, layer {i + 1}", "mig", i) for i in LAYERS),
        *(Column(f"reconstruction, layer {i + 1}", "reconstruction_sampled", i) for i in LAYERS),
    ),
    lines=(
        Line("single space", "devae:single", published=_values((0.19,), (47.49,))),
        *(
            Line(label, config, published=_values(*values))
            for (label, config), values in PUBLISHED.items()
        ),
    ),
    presets=presets(gpu_steps=20_000),
    notes=(
        RENDERED,
        SUMMED,
        "the single space has the mean of the three pressures, 17: the sum of three objectives "
        "over one space",
        "DiT scales axes, so that MIG of means is the same in each layer of DeVAE by construction",
    ),
)
