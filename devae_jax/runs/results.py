"""What a trained run shows: scores.json and figures/."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from devae_jax import evaluate
from devae_jax.data import factors as fg
from devae_jax.run import Run, load_members
from devae_jax.train.writer import read_rows
from devae_jax.viz.draw import draw_all

SYMBOLS = {"betas": "β", "capacities": "C"}  # of the hyperparameters that tell layers apart


def layer_labels(config: ConfigDict) -> list[str] | None:
    """What distinguishes the layers of a run, ["β=1", "β=10", ...]; None if nothing does."""
    num_layers = config.model.get("num_layers", 1)
    for options in config.objective.terms.values():
        for name, symbol in SYMBOLS.items():
            values = options.get(name)
            if isinstance(values, list | tuple) and len(values) == num_layers:
                return [f"{symbol}={value:g}" for value in values]
    return None


def score(
    run: Run,
    workdir: str | Path,
    *,
    member: int | None = None,
    metrics: str | Sequence[str] = "cheap",
    protocol: str = "dlib",
    layers: str | Sequence[int] = "all",
    representations: Sequence[str] = ("mean",),
    progress: bool = True,
    **options: Any,
) -> list[dict[str, Any]]:
    """Scores a run and writes `workdir`/scores.json: rows of one score, layer and protocol.

    Rows of other checkpoints, metrics or protocols that the file already has are kept.
    `options` go to `evaluate.evaluate`, which says what a row holds.
    """
    rows = evaluate.evaluate(
        run.encode,
        run.dataset,
        decode=run.logits,
        likelihood=run.config.objective.likelihood,
        metrics=metrics,
        protocol=protocol,
        layers=layers,
        representations=representations,
        progress=progress,
        **options,
    )
    label = {
        "run": str(Path(workdir).name),
        "member": member,
        "step": run.step,
        "method": run.config.method,
        "seed": run.config.seed,
        "hparams": hparams(run.config),
        "data": dict(run.dataset.identity),
    }
    rows = [label | row for row in rows]
    path = Path(workdir) / "scores.json"
    new = {_identity(row) for row in rows}
    kept = [row for row in read_scores(path) if _identity(row) not in new]
    evaluate.write_scores(path, kept + rows)
    return rows


def scored(workdir: str | Path, step: int, members: int) -> bool:
    """Whether scores.json has every member of a population at `step`."""
    rows = read_scores(Path(workdir) / "scores.json")
    return {row["member"] for row in rows if row["step"] == step} >= set(range(members))


def hparams(config: ConfigDict) -> dict[str, Any]:
    """What tells one run of a method from another: its config but for the seed and bookkeeping."""
    parts = ("steps", "batch_size", "data", "model", "objective", "optimizer")
    kept = {name: config[name] for name in parts if name in config}
    return {n: v.to_dict() if isinstance(v, ConfigDict) else v for n, v in kept.items()}


def score_members(workdir: str | Path, **options: Any) -> list[dict[str, Any]]:
    """`score` for every member of a population; options as there."""
    rows: list[dict[str, Any]] = []
    for i, run in enumerate(load_members(workdir)):
        try:
            rows += score(run, workdir, member=i, **options)
        except ValueError as error:  # a member that diverged has nothing to score
            print(f"member {i} was not scored: {error}", file=sys.stderr)
    return rows


def _identity(row: dict[str, Any]) -> tuple:
    """Two rows with the same identity measure the same thing."""
    names = ("member", "step", "layer", "representation", "protocol", "metric")
    return tuple(row.get(name) for name in names)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The rows of a scores.json, none if there is no file.

    Raises:
      ValueError: it is damaged.
    """
    try:
        return json.loads(path.read_text()) if path.exists() else []
    except json.JSONDecodeError as error:
        raise ValueError(
            f"got {error} reading {path}, expected a list of scores; move the file away"
        ) from error


def draw(
    run: Run, workdir: str | Path, *, member: int | None = None, samples: int = 10_000
) -> dict[str, Path]:
    """Writes every figure and report.html to `workdir`/figures; returns name -> path.

    A member of a population has its own folder, figures/member_0.
    """
    workdir = Path(workdir)
    folder = workdir / "figures" / ("" if member is None else f"member_{member}")
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
        run.dataset.arrays, fg.from_index(run.dataset.grid, jnp.asarray(index, jnp.int32))
    )
    return draw_all(
        folder,
        title=f"{run.config.method} on {run.dataset.name}",
        subtitle=f"{run.step:,} steps, seed {run.config.seed}",
        config=run.config.to_dict(),
        scores=[
            row
            for row in read_scores(workdir / "scores.json")
            if (row["step"], row["member"]) == (run.step, member)
        ],
        layer_labels=layer_labels(run.config),
        images=np.asarray(images),
        encode=run.encode,
        decode=run.decode,
        kl=scores["kl_per_latent"],
        mi=scores["mi"][0],
        factors=run.dataset.grid.names,
        rows=[row for row in read_rows(workdir / "metrics.jsonl") if row.get("member") == member],
    )
