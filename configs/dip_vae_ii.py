"""DIP-VAE-II: the covariance of the latents is pushed to the identity.

Kumar et al., "Variational inference of disentangled latent concepts", ICLR 2018, Eq. 7.

    python launch/train.py --config=configs/dip_vae_ii.py --workdir=runs/dip_vae_ii

As published: E[diag sigma^2] joins the diagonal only; lambda_od = lambda_d = 10.
Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "dip_vae_ii"
    config.objective.terms = {
        "kl": {"kind": "pressure", "betas": (1.0,)},
        "dip": {"kind": "dip_ii", "lambda_od": 10.0, "lambda_d": 10.0},
    }
    return variants.apply(config, arg)
