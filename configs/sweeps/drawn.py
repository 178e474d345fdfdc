"""Learning rates and layers' pressures drawn at random, each setting with two seeds, in seconds.

python launch/sweep.py --config=configs/sweeps/drawn.py --workdir=runs/sweep_drawn

`config.sweep` is a list of settings {key: value}: what the functions of `program/axes.py` return,
or one that you write yourself.
"""

from devae_jax.configs import devae
from devae_jax.program import axes


def get_config():
    config = devae.get_config("toy")
    config.steps = 100
    drawn = axes.random(
        {
            "optimizer.learning_rate": axes.log_uniform(1e-4, 1e-2),
            "objective.terms.kl.betas": ((1.0, 15.0, 30.0), (1.0, 10.0, 40.0)),
        },
        count=4,
        seed=0,
    )
    widths = axes.zipped([("model.latent_dim", (4, 10)), ("model.width", (8, 16))])
    config.sweep = axes.product(widths, drawn, axes.grid([("seed", (0, 1))]))
    return config
