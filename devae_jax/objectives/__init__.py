"""Objectives and the terms that they add up.

    OBJECTIVES  name -> factory of an `Objective`
    TERMS       name -> factory of a `Term`, a penalty beside the reconstruction error
    METHODS     name -> where a method comes from; every entry has a config of that name

A new method is one file with a factory and one line here.
"""

from collections.abc import Callable
from typing import NamedTuple

from devae_jax.objectives import adversarial, control, dip, kl, tc
from devae_jax.objectives.elbo import elbo
from devae_jax.types import Objective, Term

OBJECTIVES: dict[str, Callable[..., Objective]] = {"elbo": elbo}

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
    "devae": Method(
        "Wu et al. 2022, arXiv:2303.12959",
        "sum_i s^i (rec_i + beta_i KL_i), beta_0 < beta_1 < ...",
        "configs/devae.py",
    ),
    "beta_vae": Method("Higgins et al. 2017, Eq. 4", "rec + beta KL", "configs/beta_vae.py"),
    "vae": Method("Kingma & Welling 2014, Eq. 7", "rec + KL", "configs/beta_vae.py:vae"),
}
