"""DynamicVAE: an incremental PI controller lowers beta from a high start.

Shao et al., "DynamicVAE: Decoupling reconstruction error and disentangled representation
learning", arXiv:2009.06795.

    python launch/train.py --config=configs/dynamic_vae.py --workdir=runs/dynamic_vae

K_p = .01, K_i = .001 as in the DeVAE paper. Variants: shapes3d, cpu, quickstart, toy.
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
    return variants.apply(config, arg, toy=toy, quickstart=quickstart)


def toy(config):
    variants.toy(config)
    config.objective.terms.kl.target = 5.0


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.update(
        {"target": 9.0, "target_steps": 3_000.0, "interval_steps": 100.0, "k_i": 0.05}
    )
