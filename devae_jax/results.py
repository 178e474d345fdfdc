"""What a trained run shows: scores.json and figures/."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from devae_jax import evaluate
from devae_jax.data import factors as fg
from devae_jax.run import Run
from devae_jax.train.writer import read_rows
from devae_jax.viz.draw import draw_all

SYMBOLS = {"betas": "β", "capacities": "C"}  # of the hyperparameters that tell layers apart


def layer_labels(config: ConfigDict) -> list[str] | None:
    """What distinguishes the layers of a run, ["β=1", "β=10", ...]; None if nothing does."""
    for options in config.objective.terms.values():
        for name, symbol in SYMBOLS.items():
            values = options.get(name)
            if isinstance(values, list | tuple) and len(values) == config.model.num_layers:
                return [f"{symbol}={value:g}" for value in values]
    return None


def draw(run: Run, workdir: str | Path, *, samples: int = 10_000) -> dict[str, Path]:
    """Writes every figure and report.html to `workdir`/figures; returns name -> path."""
    workdir = Path(workdir)
    scores = evaluate.cheap(
        run.encode,
        run.logits,
        run.dataset,
        0,
        n=samples,
        likelihood=run.config.objective.likelihood,
    )
    index = np.random.RandomState(0).randint(fg.num_images(run.dataset.grid), size=64)
    images = run.dataset.observe(
        run.dataset.arrays, fg.from_index(run.dataset.grid, index.astype(np.int32))
    )
    saved = workdir / "scores.json"
    return draw_all(
        workdir / "figures",
        title=f"{run.config.method} on {run.dataset.name}",
        subtitle=f"{run.step:,} steps, seed {run.config.seed}",
        config=run.config.to_dict(),
        scores=json.loads(saved.read_text()) if saved.exists() else [],
        layer_labels=layer_labels(run.config),
        images=np.asarray(images),
        encode=run.encode,
        decode=run.decode,
        kl=scores["kl_per_latent"],
        mi=scores["mi"][0],
        factors=run.dataset.grid.names,
        rows=read_rows(workdir / "metrics.jsonl"),
    )
