"""DIP-VAE-I: the covariance of the posterior means is pushed to the identity.

Kumar et al., "Variational inference of disentangled latent concepts", ICLR 2018, Eq. 6.

    python launch/train.py --config=configs/dip_vae_i.py --workdir=runs/dip_vae_i

Published: lambda_od = 10, lambda_d = 100. Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "dip_vae_i"
    config.objective.terms = {
        "kl": {"kind": "pressure", "betas": (1.0,)},
        "dip": {"kind": "dip_i", "lambda_od": 10.0, "lambda_d": 100.0},
    }
    return variants.apply(config, arg)
