"""beta-TCVAE: a pressure on the total correlation alone.

Chen et al., "Isolating sources of disentanglement in VAEs", NeurIPS 2018, Eq. 4.

    python launch/train.py --config=configs/beta_tcvae.py --workdir=runs/beta_tcvae

KL + (beta - 1) TC with beta = 6 on dSprites (Chen et al.); the DeVAE paper has beta = 12 on both
data sets: `paper`, and here for shapes3d too. TC is estimated from the mini-batch, weighted;
`stratified` uses the stratified importance weights instead.
Variants: stratified, paper, shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "beta_tcvae"
    config.objective.terms = {
        "kl": {"kind": "pressure", "betas": (1.0,)},
        "tc": {"kind": "total_correlation", "weight": 5.0, "estimator": "mws"},
    }
    return variants.apply(config, arg, stratified=stratified, paper=paper, shapes3d=shapes3d)


def stratified(config):
    config.method = "beta_tcvae_mss"
    config.objective.terms.tc.estimator = "mss"


def paper(config):
    config.objective.terms.tc.weight = 11.0


def shapes3d(config):
    variants.shapes3d(config)
    paper(config)
