"""Seeds and pressures of the quickstart as members of one program.

python launch/sweep.py --config=configs/sweeps/quickstart.py --workdir=runs/sweep
"""

from devae_jax.configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.sweep = (
        ("seed", (0, 1, 2)),
        ("objective.terms.kl.betas", ((1.0, 15.0, 30.0), (1.0, 10.0, 40.0))),
    )
    return config
