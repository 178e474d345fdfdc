"""β-VAE at several pressures against DeVAE, on dSprites: MIG at the same reconstruction error."""

from devae_jax.configs.paper.presets import COLUMNS, RENDERED, SUMMED, presets
from devae_jax.studies import statistics
from devae_jax.studies.table import Line, Table

BETAS = (1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 25.0)


def read(rows):
    """The sentence below the table; none before both methods have runs."""

    def values(line, column):
        mine = [r for r in rows if (r["line"], r["column"]) == (line, column.label)]
        return [row["value"] for row in mine if row["value"] is not None]

    lines = dict.fromkeys(row["line"] for row in rows)
    mig, error = ({line: values(line, column) for line in lines} for column in COLUMNS)
    if not mig.pop("DeVAE", None) or not mig:
        return ()
    mean = statistics.summary(error.pop("DeVAE")).mean
    found = statistics.gain_at(list(mig.values()), list(error.values()), mean)
    if found is None:
        return (f"no two β have mean reconstruction errors around DeVAE's, {mean:.2f}",)
    return (
        f"at DeVAE's mean reconstruction error, {mean:.2f}, β-VAE has a MIG of {found:.2f}: on a "
        "line between the means of the two nearest β",
    )


TABLE = Table(
    title="MIG at the same reconstruction error, dSprites",
    columns=COLUMNS,
    lines=(
        *(
            Line(f"β-VAE, β = {beta:g}", "beta_vae", {"objective.terms.kl.betas": (beta,)})
            for beta in BETAS
        ),
        Line("DeVAE", "devae"),
    ),
    presets=presets(gpu_steps=15_000),
    figure="trade_off",
    notes=(RENDERED, SUMMED),
    read=read,
)
