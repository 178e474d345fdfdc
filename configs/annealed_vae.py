"""AnnealedVAE (CCI): a capacity of the KL divergence that grows with the steps.

Burgess et al., "Understanding disentangling in beta-VAE", arXiv:1804.03599, Eq. 8.

    python launch/train.py --config=configs/annealed_vae.py --workdir=runs/annealed_vae

Published: gamma = 1000, C from 0 to 25 nats over 100,000 steps.
Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "annealed_vae"
    config.objective.terms = {
        "kl": {"kind": "annealed", "gamma": 1000.0, "c_max": 25.0, "anneal_steps": 100_000.0}
    }
    return variants.apply(config, arg, quickstart=quickstart)


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.update({"gamma": 30.0, "c_max": 12.0, "anneal_steps": 3_000.0})
