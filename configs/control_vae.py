"""ControlVAE: a PI controller holds the KL divergence at a rising target.

Shao et al., "ControlVAE: Controllable variational autoencoder", ICML 2020, Section 4.

    python launch/train.py --config=configs/control_vae.py --workdir=runs/control_vae

Published for dSprites: KL target 18, K_p = .01, K_i = .001.
Variants: shapes3d, cpu, quickstart, toy.
"""

from configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "control_vae"
    config.objective.terms = {"kl": {"kind": "control_vae", "target": 18.0}}
    return variants.apply(config, arg, toy=toy, quickstart=quickstart)


def toy(config):
    variants.toy(config)
    config.objective.terms.kl.update({"target": 5.0, "target_steps": 200.0, "interval": 20.0})


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.update({"target": 9.0, "target_steps": 3_000.0, "interval": 100.0})
