"""beta-TCVAE: a pressure on the total correlation alone.

Chen et al., "Isolating sources of disentanglement in VAEs", NeurIPS 2018, Eq. 4.

    python launch/train.py --config=configs/beta_tcvae.py --workdir=runs/beta_tcvae

KL + (beta - 1) TC with beta = 6 (Chen et al.); the DeVAE paper uses beta = 12. TC is estimated
from the mini-batch, weighted; `stratified` uses the stratified importance weights instead.
Variants: stratified, paper (beta = 12), shapes3d, cpu, toy.
"""

from configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "beta_tcvae"
    config.objective.terms = {
        "kl": {"kind": "pressure", "betas": (1.0,)},
        "tc": {"kind": "total_correlation", "weight": 5.0, "estimator": "mws"},
    }
    return variants.apply(config, arg, stratified=stratified, paper=paper)


def stratified(config):
    config.objective.terms.tc.estimator = "mss"


def paper(config):
    config.objective.terms.tc.weight = 11.0
