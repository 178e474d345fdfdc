"""ControlVAE: a PI controller holds the KL divergence at a rising target.

Shao et al., "ControlVAE: Controllable variational autoencoder", ICML 2020, Section 4.

    python launch/train.py --config=configs/control_vae.py --workdir=runs/control_vae

Published for dSprites: the KL target rises from .5 to 18 nats by .15 every 5,000 steps; K_p = .01,
K_i = .001. Here 118 stairs of .15 end at 18, and as the first comes with step 0 the target is .45
for 5,000 steps, then .6 and so on: .05 below the authors' code, which starts at .5, takes its first
stair after 5,000 steps and cuts its last. Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "control_vae"
    config.steps = 600_000
    config.objective.terms = {
        "kl": {
            "kind": "control_vae",
            "target": 18.0,
            "start": 0.3,
            "target_steps": 590_000.0,
            "interval_steps": 5_000.0,
            "k_p": 0.01,
            "k_i": 0.001,
            "beta_min": 1.0,
            "beta_max": 1e6,
        }
    }
    return variants.apply(config, arg, toy=toy, quickstart=quickstart)


def toy(config):
    variants.toy(config)
    config.objective.terms.kl.update(
        {"target": 5.0, "start": 0.5, "target_steps": 300.0, "k_i": 0.001}
    )


def quickstart(config):
    variants.quickstart(config)
    stairs = {"target_steps": 3_000.0, "interval_steps": 100.0}
    config.objective.terms.kl.update({"target": 9.0, "start": 0.5, "k_i": 0.001} | stairs)
