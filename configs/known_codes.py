"""FactorVAE's discriminator on Gaussian codes of known total correlation, without a VAE.

Wu et al., arXiv:2303.12959, Table 1.

    python launch/train.py --config=configs/known_codes.py --workdir=runs/known_codes

`discriminator/tc` in metrics.jsonl is the estimate, -D / 4 ln(1 - rho^2) the truth. The paper says
2,000 iterations; the batch of 256 is that of its other experiments. Variants: toy, and those that
change the images, which are not looked at.
"""

from devae_jax.configs import base, variants


def get_config(arg: str = ""):
    config = base.get_config()
    config.method = "known_codes"
    config.steps = 2_000
    config.data.name = "toy"  # images are not looked at
    config.data.image_size = 32
    config.objective = {
        "name": "known_codes",
        "rho": 0.6,
        "likelihood": "bernoulli",
        "terms": {
            "discriminator": {
                "kind": "density_ratio",
                "gamma": 1.0,
                "width": 1000,
                "depth": 6,
                "slope": 0.2,
                "second_batch": False,
            },
        },
    }
    config.optimizer.players = {"discriminator": {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}}
    config.train.checkpoint_every = 500
    config.train.eval_every = 0
    return variants.apply(config, arg, toy=toy)


def toy(config):
    variants.toy(config)
    config.objective.terms.discriminator.width = 32
    config.train.eval_every = 0
