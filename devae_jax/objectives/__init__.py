"""Objectives and the terms that they add up.

    OBJECTIVES  name -> factory of an `Objective`
    TERMS       name -> factory of a `Term`, a penalty beside the reconstruction error
    METHODS     name -> where a method comes from; every entry has a config of that name

A new method is one file with a factory and one line here.
"""

from collections.abc import Callable
from typing import NamedTuple

from devae_jax.objectives import adversarial, control, dip, kl, tc
from devae_jax.objectives.ada_gvae import ada_gvae
from devae_jax.objectives.elbo import elbo
from devae_jax.objectives.infogan import infogan
from devae_jax.objectives.known_codes import known_codes
from devae_jax.types import Objective, Term

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "elbo": elbo,
    "ada_gvae": ada_gvae,
    "infogan": infogan,
    "known_codes": known_codes,
}

TERMS: dict[str, Callable[..., Term]] = {
    "pressure": kl.pressure,
    "capacity": kl.capacity,
    "annealed": kl.annealed,
    "cascade": kl.cascade,
    "exponential_annealing": kl.exponential_annealing,
    "deft_pressure": kl.deft_pressure,
    "control_vae": control.control_vae,
    "dynamic_vae": control.dynamic_vae,
    "total_correlation": tc.total_correlation,
    "density_ratio": adversarial.density_ratio,
    "dip_i": dip.dip_i,
    "dip_ii": dip.dip_ii,
}


class Method(NamedTuple):
    """A published method: where it comes from and what it minimises."""

    paper: str
    equation: str
    config: str


METHODS: dict[str, Method] = {
    "vae": Method("Kingma & Welling 2014, Eq. 7", "rec + KL", "configs/beta_vae.py:vae"),
    "beta_vae": Method("Higgins et al. 2017, Eq. 4", "rec + beta KL", "configs/beta_vae.py"),
    "annealed_vae": Method(
        "Burgess et al. 2018, Eq. 8", "rec + gamma |KL - C(t)|", "configs/annealed_vae.py"
    ),
    "beta_tcvae": Method(
        "Chen et al. 2018, Eq. 4",
        "rec + KL + (beta - 1) TC, minibatch-weighted",
        "configs/beta_tcvae.py",
    ),
    "beta_tcvae_mss": Method(
        "Chen et al. 2018, Appendix C.2",
        "rec + KL + (beta - 1) TC, minibatch-stratified",
        "configs/beta_tcvae.py:stratified",
    ),
    "factor_vae": Method(
        "Kim & Mnih 2018, Eq. 2", "rec + KL + gamma TC by a density ratio", "configs/factor_vae.py"
    ),
    "dip_vae_i": Method(
        "Kumar et al. 2018, Eq. 6", "rec + KL + |Cov[mean] - I|^2, weighted", "configs/dip_vae_i.py"
    ),
    "dip_vae_ii": Method(
        "Kumar et al. 2018, Eq. 7", "rec + KL + |Cov[z] - I|^2, weighted", "configs/dip_vae_ii.py"
    ),
    "cascade_vae_c": Method(
        "Jeong & Song 2019, Section 4", "rec + sum_d beta_d(t) KL_d", "configs/cascade_vae_c.py"
    ),
    "deft": Method(
        "Wu et al. 2022, DEFT", "rec + beta(stage) KL, one sub-encoder a stage", "configs/deft.py"
    ),
    "control_vae": Method(
        "Shao et al. 2020, Section 4", "rec + PI(C(t) - KL) KL", "configs/control_vae.py"
    ),
    "dynamic_vae": Method(
        "Shao et al. 2022, arXiv:2009.06795", "rec + incremental PI KL", "configs/dynamic_vae.py"
    ),
    "exponential_annealing": Method(
        "code of Wu et al. 2022", "rec + beta(t) KL", "configs/exponential_annealing.py"
    ),
    "ada_gvae": Method(
        "Locatello et al. 2020, Section 4",
        "rec + beta KL of both images of a pair, near latents averaged",
        "configs/ada_gvae.py",
    ),
    "ada_ml_vae": Method(
        "Locatello et al. 2020, Section 4",
        "rec + beta KL of both images of a pair, near latents multiplied",
        "configs/ada_gvae.py:ml_vae",
    ),
    "infogan": Method(
        "Chen et al. 2016, Eq. 6; game of Gulrajani et al. 2017",
        "Wasserstein GAN with gradient penalty - lambda E log Q(c|x)",
        "configs/infogan.py",
    ),
    "infogan_minimax": Method(
        "Chen et al. 2016, Eq. 6; penalty of Mescheder et al. 2018",
        "non-saturating GAN with R1 penalty - lambda E log Q(c|x)",
        "configs/infogan.py:minimax",
    ),
    "devae": Method(
        "Wu et al. 2022, arXiv:2303.12959",
        "sum_i s^i (rec_i + beta_i KL_i), beta_0 < beta_1 < ...",
        "configs/devae.py",
    ),
    "devae_capacity": Method(
        "Wu et al. 2022, capacity form",
        "sum_i s^i (rec_i + gamma |KL_i - C_i|), C_0 > C_1 > ...",
        "configs/devae.py:capacity",
    ),
    "devae_sampled": Method(
        "Wu et al. 2022, Algorithm 1",
        "one layer a mini-batch, p(i) ~ s^i",
        "configs/devae.py:sampled",
    ),
    "devae_single": Method(
        "Wu et al. 2022, Table 2", "one latent space", "configs/devae.py:single"
    ),
    "devae_parallel": Method(
        "Wu et al. 2022, Table 2", "a head for each layer, no chain", "configs/devae.py:parallel"
    ),
    "devae_linear": Method(
        "Wu et al. 2022, Table 2",
        "a linear map between layers instead of DiT",
        "configs/devae.py:linear",
    ),
}
