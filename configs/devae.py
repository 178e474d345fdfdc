"""DeVAE: decremental information bottleneck over K latent layers joined by DiT.

Wu et al., "Variational autoencoders with decremental information bottleneck for
disentanglement", arXiv:2303.12959.

    python launch/train.py --config=configs/devae.py --workdir=runs/devae

Variants (`configs/devae.py:shapes3d`, several joined by commas):
  shapes3d  summed squared error on shapes3d_like
  capacity  the capacity form of the bottleneck, gamma * |KL_i - C_i|
  sampled   one layer a mini-batch (Algorithm 1) instead of the sum of all
  single, parallel, linear  the ablations of Table 2: one latent space under the mean pressure,
            a head for each layer, an arbitrary linear map between layers
  cpu       about an hour on two CPU cores
  quickstart  the quickstart's data and networks
  toy       seconds, to try it

Published (Table 3, 10 seeds, 300,000 steps): dSprites MIG .35 +- .02, reconstruction
51.99 +- 26.99; Shapes3D MIG .57 +- .01, reconstruction 43.24 +- 11.41.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "devae"
    config.model.num_layers = 3
    config.model.latents = "dit"
    config.objective.terms = {"kl": {"kind": "pressure", "betas": (1.0, 10.0, 40.0)}}
    return variants.apply(
        config,
        arg,
        capacity=capacity,
        sampled=sampled,
        single=single,
        parallel=parallel,
        linear=linear,
        quickstart=quickstart,
    )


def capacity(config):
    config.method = "devae_capacity"
    config.objective.terms = {
        "kl": {
            "kind": "capacity",
            "gamma": 40.0,
            "capacities": (25.0, 15.0, 8.0),
            "start": 0.0,
            "anneal_steps": 0.0,  # fixed from the start
        }
    }


def sampled(config):
    config.method = "devae_sampled"
    config.objective.layers = "sampled"


def single(config):
    """The sum of three objectives over one shared space is one with their mean pressure.

    Raises ValueError beside `capacity`.
    """
    if "betas" not in config.objective.terms.kl:
        raise ValueError("got variants capacity and single, expected pressures; remove one")
    config.method = "devae_single"
    config.model.num_layers = 1
    config.model.latents = "single"
    config.objective.terms.kl.betas = (sum(config.objective.terms.kl.betas) / 3,)


def parallel(config):
    config.method = "devae_parallel"
    config.model.latents = "parallel"


def linear(config):
    config.method = "devae_linear"
    config.model.latents = "linear"


def quickstart(config):
    """Pressures for 32 x 32 pixels; the first variant if several are given."""
    variants.quickstart(config)
    config.objective.terms.kl.betas = (1.0, 15.0, 30.0)
