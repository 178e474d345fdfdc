"""A table of my own: my term and β-VAE beside DeVAE, on my data.

    python launch/reproduce.py docs/examples/own_table.py --preset=smoke --workdir=runs/own_table

`--plan` prints its programs and members. Lines are configs of the library, or of one's own, with
what differs; a preset is a size, whose variants and changes all lines get.
"""

from pathlib import Path

from devae_jax.studies.table import Column, Line, Preset, Table

HERE = Path(__file__).parent / "own_method"
BARS = {"data.name": f"{HERE}/data.py:bars"}
OFTEN = {"train.log_every": 10, "train.checkpoint_every": 20, "train.eval_every": 10}

TABLE = Table(
    title="My term on bars",
    columns=(
        Column("MIG", "mig"),
        Column("reconstruction", "reconstruction_sampled"),
        Column("MIG, half-way", "eval/mig", at=0.5),  # of what training logged
    ),
    lines=(
        Line("my term", f"{HERE}/config.py"),
        Line("DeVAE", "devae"),
        *(
            Line(f"β-VAE, β = {beta:g}", "beta_vae", {"objective.terms.kl.betas": (beta,)})
            for beta in (1.0, 4.0)
        ),
    ),
    presets={
        "cpu": Preset(seeds=3, variants="toy", steps=3_000, changes=BARS),
        "smoke": Preset(2, variants="toy", steps=20, changes=BARS | OFTEN, cut="to see it run"),
    },
)
