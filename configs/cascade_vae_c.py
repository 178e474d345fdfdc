"""CascadeVAE-C: latents are released from a high pressure one by one.

Jeong & Song, "Learning discrete and continuous factors of data", ICML 2019, Section 4.

    python launch/train.py --config=configs/cascade_vae_c.py --workdir=runs/cascade_vae_c

The continuous part: beta 1 for released latents, 10 for the rest.
Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "cascade_vae_c"
    config.objective.terms = {
        "kl": {"kind": "cascade", "beta_min": 1.0, "beta_max": 10.0, "stage_steps": 15_000.0}
    }
    return variants.apply(config, arg, quickstart=quickstart)


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.stage_steps = 600.0
