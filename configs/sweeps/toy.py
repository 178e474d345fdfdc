"""Two layouts of two members each, in seconds.

python launch/sweep.py --config=configs/sweeps/toy.py --workdir=runs/sweep_toy
"""

from devae_jax.configs import devae


def get_config():
    config = devae.get_config("toy")
    config.steps = 100
    config.sweep = (("model.latent_dim", (2, 4)), ("seed", (0, 1)))
    return config
