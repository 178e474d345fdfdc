"""Every method of the registry on both data sets, each with its config's own settings."""

from devae_jax.configs.paper.figure2 import METHODS as PAPER
from devae_jax.configs.paper.figure2 import TABLE as FIGURE2
from devae_jax.configs.paper.presets import RENDERED, SUMMED, presets
from devae_jax.objectives import METHODS
from devae_jax.studies.table import Column, Line, Table

USUAL = presets(gpu_steps=6_000)
ALIKE = {"beta_tcvae": PAPER["β-TCVAE (β = 12)"]}  # as in figure 2, where its file has another


def config_of(name: str) -> str:
    """Of a method, to which a variant can be added."""
    file, _, variant = METHODS[name].config.partition(":")
    own = f"{variant}," if variant else ""
    return ALIKE.get(name, file.removeprefix("configs/").removesuffix(".py") + ":" + own)


TABLE = Table(
    title="All methods on two data sets",
    columns=(
        *FIGURE2.columns,
        Column("KL", "kl"),
        Column("active units", "active_units"),
    ),
    lines=tuple(
        Line(f"{data}: {name}", config_of(name) + variant)
        for data, variant in (("dSprites", ""), ("Shapes3D", "shapes3d"))
        for name in METHODS
    ),
    presets=USUAL | {"smoke": USUAL["smoke"]._replace(metrics=("cheap",))},
    metrics=FIGURE2.metrics,
    notes=(
        RENDERED,
        SUMMED,
        "hyperparameters are those of each method's config, not searched for these data sets",
        "ada_gvae and ada_ml_vae see pairs of images that share factors, the others single images",
    ),
)
