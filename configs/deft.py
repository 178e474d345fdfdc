"""DEFT: sub-encoders trained one a stage under falling pressures, earlier ones frozen.

Wu et al., "DEFT: Distilling entangled factors by preventing information diffusion",
Machine Learning 2022.

    python launch/train.py --config=configs/deft.py --workdir=runs/deft

As in the authors' code: five groups of two latents, pressures 70, 30, 15, 1; the fifth group
goes on at the last one. Stages last a fifth of the run. Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "deft"
    del config.model.latents, config.model.num_layers
    config.model.name = "staged"
    config.model.groups = 5
    config.model.group_width = 8  # channels of a sub-encoder's first convolution
    config.model.stage_steps = 60_000.0
    config.objective.terms = {
        "kl": {
            "kind": "deft_pressure",
            "betas": (70.0, 30.0, 15.0, 1.0),
            "stage_steps": config.model.get_ref("stage_steps"),  # one number, named twice
        }
    }
    return variants.apply(config, arg, cpu=cpu, toy=toy, quickstart=quickstart)


def cpu(config):
    variants.cpu(config)
    config.model.group_width = 4


def toy(config):
    variants.toy(config)
    config.model.groups = 2
    config.model.stage_steps = 40.0
    config.objective.terms.kl.betas = (4.0, 1.0)


def quickstart(config):
    variants.quickstart(config)
    config.model.groups = 3
    config.model.group_width = 8
    config.model.stage_steps = 1_300.0
    config.objective.terms.kl.betas = (30.0, 15.0, 1.0)
