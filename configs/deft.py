"""DEFT: sub-encoders trained one a stage under falling pressures, earlier ones frozen.

Wu et al., "DEFT: Distilling entangled factors by preventing information diffusion",
Machine Learning 2022.

    python launch/train.py --config=configs/deft.py --workdir=runs/deft

Variants: shapes3d, cpu, toy.
"""

from configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "deft"
    return variants.apply(config, arg)
