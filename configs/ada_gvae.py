"""Ada-GVAE and Ada-ML-VAE: pairs of images that share most factors, without saying which.

Locatello et al., "Weakly-supervised disentanglement without compromises", ICML 2020, Section 4.

    python launch/train.py --config=configs/ada_gvae.py --workdir=runs/ada_gvae

Published: batches of 64 pairs, 300,000 steps, beta 1, 2, 4, 6, 8 or 16; one factor of a pair
changes, or any number of them (`any_number`). After training the encoder sees single images.
Variants: ml_vae (products instead of means of the shared posteriors), any_number, temporal (two
frames of a scene that moves in place of the paper's pairs), shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "ada_gvae"
    config.batch_size = 64
    config.data.source.kind = "pairs"
    config.data.source.changed = "one"
    config.objective.name = "ada_gvae"
    config.objective.aggregation = "gvae"
    config.objective.terms = {"kl": {"kind": "pressure", "betas": (1.0,)}}
    return variants.apply(config, arg, ml_vae=ml_vae, any_number=any_number, temporal=temporal)


def ml_vae(config):
    config.method = "ada_ml_vae"
    config.objective.aggregation = "ml_vae"


def any_number(config):
    config.data.source.changed = "any"


def temporal(config):
    config.data.source.kind = "temporal"
    config.data.source.changed = None
