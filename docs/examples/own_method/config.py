"""Trains `method.py` on `data.py`, scored by `metric.py`, files outside the library:

    devae-train --config=docs/examples/own_method/config.py --workdir=runs/own
    devae-evaluate --workdir=runs/own --metrics=all --trust

`--trust`, since loading the run executes the files that its config names.
"""

from pathlib import Path

from devae_jax.configs import devae

HERE = Path(__file__).parent


def get_config(variants="toy"):
    config = devae.get_config(variants)
    config.method = "own"
    config.data.name = f"{HERE}/data.py:bars"
    config.objective.terms.price = {"kind": f"{HERE}/method.py:dependence", "weight": 2.0}
    config.eval.metrics = ("cheap", f"{HERE}/metric.py:METRIC")  # in the rows of training too
    return config
