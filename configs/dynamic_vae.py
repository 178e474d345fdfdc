"""DynamicVAE: an incremental PI controller lowers beta from a high start.

Shao et al., "DynamicVAE: Decoupling reconstruction error and disentangled representation
learning", arXiv:2009.06795.

    python launch/train.py --config=configs/dynamic_vae.py --workdir=runs/dynamic_vae

K_p = .01, K_i = .001 as in the DeVAE paper. Variants: published, shapes3d, cpu, quickstart, toy.

`published` has the values of the authors' code for dSprites: K_i = .005, beta from 50 down to no
less than .1, the KL target from .5 to 20 nats by .15 every 6,000 steps over ramps of 1,000, batches
of 128, 2,000,000 steps. Two things differ from that code: KL is averaged with a weight that lags as
much as its mean of five values, and the anti-windup is another, see `dynamic_vae`.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "dynamic_vae"
    config.objective.terms = {
        "kl": {
            "kind": "dynamic_vae",
            "target": 18.0,
            "start": 0.0,
            "target_steps": 200_000.0,
            "interval_steps": 5_000.0,
            "ramp_steps": 1.0,
            "k_p": 0.01,
            "k_i": 0.001,
            "smoothing": 0.95,
            "beta_start": 150.0,
            "beta_min": 1.0,
            "proportional": "sigmoid",
        }
    }
    return variants.apply(config, arg, published=published, toy=toy, quickstart=quickstart)


def published(config):
    config.batch_size, config.steps = 128, 2_000_000
    config.objective.terms.kl.update(
        {
            "target": 20.0,
            "start": 0.5,
            "target_steps": 780_000.0,  # 130 stairs
            "interval_steps": 6_000.0,
            "ramp_steps": 1_000.0,
            "k_i": 0.005,
            "smoothing": 1 / 3,
            "beta_start": 50.0,
            "beta_min": 0.1,
        }
    )


def toy(config):
    variants.toy(config)
    config.objective.terms.kl.update({"target": 5.0, "k_i": 0.001})


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.update(
        {"target": 9.0, "target_steps": 3_000.0, "interval_steps": 100.0, "k_i": 0.05}
    )
