"""Exponential annealing of beta, a baseline of the DeVAE author's code.

Code of Wu et al., arXiv:2303.12959.

    python launch/train.py --config=configs/exponential_annealing.py --workdir=runs/annealing

beta rises from 1 to 150 along an exponential after a warm-up.
Variants: shapes3d, cpu, quickstart, toy.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "exponential_annealing"
    config.objective.terms = {
        "kl": {
            "kind": "exponential_annealing",
            "beta": 150.0,
            "temperature": 6.0,
            "warmup_steps": 10_000.0,
            "anneal_steps": 200_000.0,
        }
    }
    return variants.apply(config, arg, quickstart=quickstart)


def quickstart(config):
    variants.quickstart(config)
    config.objective.terms.kl.update({"beta": 30.0, "warmup_steps": 200.0, "anneal_steps": 3_000.0})
