"""InfoGAN, Wasserstein variant with gradient penalty: codes that a critic can read off images.

Chen et al., "InfoGAN: Interpretable representation learning by information maximizing
generative adversarial nets", NeurIPS 2016, Eq. 6; gradient penalty of Gulrajani et al. 2017.

    python launch/train.py --config=configs/infogan.py --workdir=runs/infogan

Variants: minimax (the original game, non-saturating), gulrajani, shapes3d, cpu, quickstart, toy.

`gulrajani` has the defaults of that paper's Algorithm 1: five critic steps for each of the
generator's, Adam with b1 = 0, b2 = .9 and a rate of 1e-4, penalty 10. Without it there is one
critic step and b1 = .5.
"""

from ml_collections.config_dict import placeholder

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "infogan"
    config.model = {"name": "gan", "latent_dim": 10, "noise_dim": 5, "init": "torch"}
    config.model.width = placeholder(int)
    config.objective = {
        "name": "infogan",
        "variant": "wasserstein_gp",
        "information": 1.0,
        "gradient_penalty": 10.0,
        "critic_steps": 1.0,
        "likelihood": "bernoulli",
        "any_order": False,
        "terms": {},
    }
    config.optimizer.update({"b1": 0.5, "b2": 0.9})
    return variants.apply(
        config, arg, minimax=minimax, gulrajani=gulrajani, toy=toy, quickstart=quickstart
    )


def minimax(config):
    config.method = "infogan_minimax"
    config.objective.variant = "minimax"
    config.objective.gradient_penalty = 1.0


def gulrajani(config):
    config.objective.update({"critic_steps": 5.0, "gradient_penalty": 10.0})
    config.optimizer.update({"b1": 0.0, "b2": 0.9, "learning_rate": 1e-4})


def toy(config):
    variants.toy(config)
    config.model.width = 8


def quickstart(config):
    variants.quickstart(config)
    config.batch_size = 32
    config.model.update({"width": 8, "latent_dim": 3})
    config.objective.information = 0.5
    config.optimizer.b1 = 0.0
