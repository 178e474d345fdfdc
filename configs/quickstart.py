"""The main job: DeVAE on the positions and sizes of a dSprites square, minutes on two CPU cores.

    python launch/train.py --config=configs/quickstart.py --workdir=runs/quickstart

6,144 images of 32 x 32 pixels, networks of half the published width. The README has the scores
to expect, over several seeds. Variants: beta_vae (one latent space at equal steps).
"""

from devae_jax.configs import devae, variants


def get_config(arg: str = ""):
    config = devae.get_config("quickstart")
    return variants.apply(config, arg, beta_vae=beta_vae)


def beta_vae(config):
    config.method = "beta_vae"
    config.model.num_layers = 1
    config.model.latents = "single"
    config.objective.terms.kl.betas = (4.0,)
