"""The main job: DeVAE on positions and sizes of a dSprites square, minutes on two CPU cores.

python launch/train.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

from configs import devae


def get_config(arg: str = ""):
    config = devae.get_config()
    config.data.factors = {"shape": (0,), "orientation": (0,)}
    config.data.image_size = 32
    config.batch_size = 64
    config.optimizer.learning_rate = 1e-3
    config.steps = 6_000
    config.train.checkpoint_every = config.train.eval_every = 1_000
    return config
