"""Table 1: the total correlation that FactorVAE's discriminator tells of correlated Gaussians."""

from devae_jax.configs.paper.presets import presets
from devae_jax.objectives.known_codes import total_correlation
from devae_jax.studies.table import Column, Line, Published, Table

ESTIMATES = {
    10: {0.3: 0.23, 0.6: 1.08, 0.9: 4.14},
    100: {0.3: 2.17, 0.6: 10.27, 0.9: 23.39},
    1000: {0.3: 8.62, 0.6: 17.40, 0.9: 22.47},
}
USUAL = presets()

TABLE = Table(
    title="Table 1: total correlation by a discriminator, nats",
    columns=(Column("TC", "discriminator/tc"),),
    lines=tuple(
        Line(
            f"D = {dim}, ρ = {rho} (true {total_correlation(dim, rho):.2f})",
            "known_codes",
            {"model.latent_dim": dim, "objective.rho": rho},
            {"TC": Published(estimate)},
        )
        for dim, estimates in ESTIMATES.items()
        for rho, estimate in estimates.items()
    ),
    presets={
        "paper": USUAL["paper"],
        "gpu": USUAL["paper"]._replace(cut=""),
        "cpu": USUAL["paper"]._replace(seeds=3, at_once=1, cut="3 of 10 trials"),
        "smoke": USUAL["smoke"]._replace(
            changes=USUAL["smoke"].changes
            | {"train.eval_every": 0, "objective.terms.discriminator.depth": 2},
        ),
    },
    metrics=("kl",),  # no image says anything of these codes: what training logged counts
    notes=(
        "the paper does not give the batch size (256 here); the estimate is the mean over the "
        "last 100 iterations' batches, each of fresh codes",
    ),
)
