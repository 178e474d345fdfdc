"""beta-VAE: one latent space under a pressure beta > 1.

Higgins et al., "beta-VAE: Learning basic visual concepts with a constrained variational
framework", ICLR 2017.

    python launch/train.py --config=configs/beta_vae.py --workdir=runs/beta_vae

Variants: vae (beta = 1; Kingma & Welling 2014), shapes3d, cpu, quickstart, toy.
beta = 6 is the setting of the DeVAE paper's comparison.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "beta_vae"
    config.objective.terms = {"kl": {"kind": "pressure", "betas": (6.0,)}}
    return variants.apply(config, arg, vae=vae)


def vae(config):
    config.method = "vae"
    config.objective.terms.kl.betas = (1.0,)
