"""The table under test: every method of the registry, with one or three latent layers."""

import functools
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from devae_jax.objectives import METHODS
from devae_jax.program import plan as programs
from devae_jax.training import step as training

STEPS = 20
DEVICE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def config_of(method, num_layers=None, likelihood="bernoulli"):
    """The method's own config on toy data; `num_layers` K changes the model and nothing else."""
    path, _, variant = METHODS[method].config.partition(":")
    module = importlib.import_module(f"devae_jax.configs.{Path(path).stem}")
    config = module.get_config(",".join(filter(None, [variant, "toy"])))
    config.objective.likelihood = likelihood
    config.model.width = 8
    if "noise_dim" in config.model:
        config.data.image_size = 8  # a game of two networks compiles for long
    config.train.progress = config.train.tensorboard = False
    for term in config.objective.terms.values():
        if "depth" in term:
            term.depth = 2
    if num_layers is not None and num_layers != config.model.get("num_layers", 1):
        config.model.latents = "single" if num_layers == 1 else "dit"
        for term in config.objective.terms.values():
            for name, value in term.items():
                if isinstance(value, tuple) and len(value) == config.model.num_layers:
                    term[name] = value[:num_layers]
        config.model.num_layers = num_layers
    return config


def layers(method):
    """The numbers of latent layers that a method can have: some have one by construction."""
    return (1, 3) if "num_layers" in config_of(method).model else (1,)


def grouped(*values, slow=False):
    """One row of the table; all its tests run in one process, which compiles it once."""
    name = "-".join(map(str, values[:2]))
    marks = [pytest.mark.xdist_group(name), *([pytest.mark.slow] if slow else [])]
    return pytest.param(*values, id="-".join(map(str, values)), marks=marks)


# The other number of layers and likelihood are for few methods by default, for all if slow.
THOROUGH = ("vae", "devae")


def rows():
    """(method, number of layers, likelihood, slow) of every row of the table."""
    for method in METHODS:
        usual = config_of(method).model.get("num_layers", 1)
        for num_layers in layers(method):
            for likelihood in ("bernoulli", "squared_error"):
                changed = (num_layers != usual) + (likelihood != "bernoulli")
                slow = changed > (1 if method in THOROUGH else 0)
                yield method, num_layers, likelihood, slow


ALL = [grouped(*row[:3], slow=row[3]) for row in rows()]
METHODS_AND_LAYERS = [grouped(*row[:2], slow=row[3]) for row in rows() if row[2] == "bernoulli"]


class Case:
    """A method compiled once, its state at the start and after STEPS steps."""

    def __init__(self, config, change=lambda program: program, start=None):
        """`start`: the first state, if it is known; `change` to see what a law notices."""
        self.config = config
        plan = programs.plan(config)
        self.plan = plan._replace(program=change(plan.program))
        self.hparams = jax.tree.map(jnp.asarray, self.plan.hparams)
        self.traces = 0

        def step(hparams, state, arrays):
            self.traces += 1
            return training.train_step(self.plan.program, hparams, state, arrays)

        self.step = jax.jit(step)
        # Committed to a device, as what a checkpoint gives: else the step is lowered again for it.
        self.init = jax.jit(functools.partial(training.init, plan.program), out_shardings=DEVICE)
        self.start = start or self.init(self.hparams)
        self.state, self.metrics = self.run(self.start, STEPS)

    def run(self, state, steps, hparams=None):
        rows = []
        for _ in range(steps):
            state, metrics = self.step(
                hparams or self.hparams, state, self.plan.program.source.arrays
            )
            rows.append(metrics)
        return state, rows


@functools.cache
def case(method, num_layers, likelihood):
    start = None if likelihood == "bernoulli" else case(method, num_layers, "bernoulli").start
    return Case(config_of(method, num_layers, likelihood), start=start)
