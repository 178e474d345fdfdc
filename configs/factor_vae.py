"""FactorVAE: total correlation by a discriminator's density ratio.

Kim & Mnih, "Disentangling by factorising", ICML 2018, Eq. 2.

    python launch/train.py --config=configs/factor_vae.py --workdir=runs/factor_vae

Published: gamma = 35 on dSprites, batch 64, discriminator 6 x 1000 with Adam(.5, .9) at 1e-4.
Both players move at the same time. Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "factor_vae"
    config.batch_size = 64
    config.objective.terms = {
        "kl": {"kind": "pressure", "betas": (1.0,)},
        "discriminator": {
            "kind": "density_ratio",
            "gamma": 35.0,
            "width": 1000,
            "depth": 6,
            "slope": 0.2,
            "second_batch": False,
        },
    }
    config.optimizer.players = {"discriminator": {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}}
    return variants.apply(config, arg, toy=toy)


def toy(config):
    variants.toy(config)
    config.objective.terms.discriminator.width = 32
