"""β-VAE at several pressures against DeVAE, on dSprites: MIG at the same reconstruction error."""

from collections import Counter

from devae_jax.configs.paper.presets import COLUMNS, RENDERED, SUMMED, presets
from devae_jax.studies import statistics
from devae_jax.studies.table import Line, Table

BETAS = (1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 25.0)


def read(rows):
    """The sentences below the table; none before both methods have runs."""
    scored: dict = {}  # line and seed -> what the run scored, by column
    for row in rows:
        if row["column"] is not None and row["value"] is not None:
            scored.setdefault((row["line"], row["seed"]), {})[row["column"]] = row["value"]
    runs = {
        run: (each["MIG"], each["reconstruction"]) for run, each in scored.items() if len(each) == 2
    }
    lines: dict = {}
    for (line, _), scores in runs.items():
        lines.setdefault(line, []).append(scores)
    devae = lines.pop("DeVAE", None)
    if not devae or not lines:
        return ()
    mean = statistics.summary([error for _, error in devae]).mean
    mig, error = ([[scores[i] for scores in each] for each in lines.values()] for i in (0, 1))
    found = statistics.gain_at(mig, error, mean)
    same = f"no two β have mean reconstruction errors around DeVAE's, {mean:.2f}"
    if found is not None:
        same = f"at DeVAE's mean reconstruction error, {mean:.2f}, β-VAE has a MIG of {found:.2f}: "
        same += "on a line between the means of the two nearest β"
    front = Counter(list(runs)[i][0] for i in statistics.pareto(*zip(*runs.values(), strict=True)))
    best = "; ".join(f"{line} ({count})" for line, count in front.items())
    return (same, f"runs that no other beats in both, by rising error: {best}")


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
