"""Variants that many configs share: `--config=configs/devae.py:shapes3d,cpu`."""

from collections.abc import Callable

from ml_collections import ConfigDict

from devae_jax.names import unknown
from devae_jax.program.specs import roles


def shapes3d(config: ConfigDict) -> None:
    config.data.name = "shapes3d_like"
    config.objective.likelihood = "squared_error"


def cpu(config: ConfigDict) -> None:
    """About an hour on two cores: smaller images, batch and networks, fewer steps.

    The reconstruction error keeps the weight that it has beside the penalties at the published
    size: without it β = 6 works like 24, and a β-VAE keeps three latents of ten active.
    """
    if "reconstruction_weight" in config.objective:
        config.objective.reconstruction_weight = (config.data.image_size / 32.0) ** 2
    config.data.image_size = 32
    config.batch_size = 64
    config.model.width = 16
    config.optimizer.learning_rate = 5e-4
    shorten(config, 60_000)
    config.train.checkpoint_every = config.train.eval_every = 2_000


def quickstart(config: ConfigDict) -> None:
    """The quickstart's data, networks and training: minutes on two cores."""
    config.data.factors = {"shape": (0,), "orientation": (0,)}
    config.data.image_size = 32
    config.batch_size = 64
    config.model.width = 16
    config.model.latent_dim = 6
    config.optimizer.learning_rate = 2e-3
    shorten(config, 4_000)
    config.optimizer.decay_steps = 4_000.0
    config.train.checkpoint_every = config.train.eval_every = 500


def toy(config: ConfigDict) -> None:
    """Seconds anywhere: to try a method, and what the tests run."""
    config.data.name = "toy"
    config.data.image_size = 16
    config.batch_size = 16
    if "encoder" in config.model:
        config.model.encoder = config.model.decoder = "mlp"
    config.model.width = 32
    config.model.latent_dim = 4
    shorten(config, 300)
    config.optimizer.learning_rate = 1e-3
    config.train.log_every = 50
    config.train.checkpoint_every = config.train.eval_every = 100


def shorten(config: ConfigDict, steps: int) -> None:
    """Trains for `steps`: durations of the method in proportion, rates the other way round.

    A controller that lowers beta by .001 a step from 150 would not end in a tenth of the steps.
    """
    ratio, config.steps = steps / config.steps, steps
    config.update_from_flattened_dict(
        {
            path: value / ratio if hyper.role == "rate" else value * ratio
            for path, (hyper, value) in roles(config, "duration", "rate").items()
        }
    )


VARIANTS = {"shapes3d": shapes3d, "cpu": cpu, "quickstart": quickstart, "toy": toy}


def apply(config: ConfigDict, arg: str, **own: Callable[[ConfigDict], None]) -> ConfigDict:
    """Applies the comma-separated variants in `arg`; `own` are those of one config alone.

    Raises:
      ValueError: unknown variant.
    """
    known = VARIANTS | own
    for name in filter(None, arg.split(",")):
        if name not in known:
            raise unknown("config variant", name, sorted(known))
        known[name](config)
    return config
