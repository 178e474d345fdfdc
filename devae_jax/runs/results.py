"""What a trained run shows: scores.json and figures/."""

import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from devae_jax.data.images import images_of
from devae_jax.data.labels import labels_of
from devae_jax.evaluation.codes import DivergedError, code_shape, draw_sample
from devae_jax.evaluation.evaluate import evaluate
from devae_jax.evaluation.rows import Row, by_score, compact
from devae_jax.runs.folder import Folder
from devae_jax.runs.run import Run
from devae_jax.viz.draw import draw_all

SHOWN = 64  # images of the data set that figures may show


def score(run: Run, **options: Any) -> list[Row]:
    """Scores a run and writes them to scores.json of its folder, if it has one.

    Rows of other members, checkpoints, metrics or protocols that the file already has are kept;
    matrices of more than 20,000 entries are not written.

    Args:
      options: of `evaluation.evaluate`, which says what a row holds.

    Returns the rows, with run, member, step, method, seed, precision, settings and data
    of the run, and the version of the library.

    Raises:
      ValueError: scores.json is damaged; nothing was scored.
    """
    if run.folder is not None:
        run.folder.scores()
    rows = _scored(run, **options)
    if run.folder is not None:
        with run.folder.scoring():
            run.folder.write_scores(_laid_over(run.folder.scores(), compact(rows)))
    return rows


def score_members(runs: Iterable[Run], **options: Any) -> list[Row]:
    """`score` for every member of a population; one that diverged has nothing to score."""
    rows: list[Row] = []
    for run in runs:
        try:
            rows += score(run, **options)
        except DivergedError as error:
            print(f"member {run.member} was not scored: {error}", file=sys.stderr)
            if run.folder is not None:
                run.folder.note(run.step, "diverged", run.member)
    return rows


def settings(config: ConfigDict) -> dict[str, Any]:
    """What tells one run of a method from another: its config but for the seed and bookkeeping."""
    parts = ("steps", "batch_size", "data", "model", "objective", "optimizer")
    return {name: value for name, value in config.to_dict().items() if name in parts}


def draw(run: Run, rows: Sequence[Row] | None = None) -> dict[str, Path]:
    """Writes every figure and report.html to figures/ of the run's folder; name -> path.

    A member of a population has its own folder, figures/member_0. The figures' mutual
    information and KL are those of `rows`, as `score` returns them, else those of scores.json
    at this step; where they are missing the run is scored anew, and nothing written.

    Raises:
      ValueError: the run lies in no folder.
    """
    if run.folder is None:
        raise ValueError(
            "got a run without a folder, expected one to draw in; load it, or train it in one"
        )
    num_layers, dim = code_shape(run.coder, run.dataset)
    known = _laid_over(_of_run(run, run.folder), rows or ())
    shown = _figure_scores(known)
    names = _factors(run)
    wanted = ["kl_per_latent"] + ["mi"] * bool(names)
    if any(len(shown.get(name, ())) != num_layers for name in wanted):
        fresh = _scored(run, seeds=(0,), calibrate=False, progress=False)
        known, shown = _laid_over(fresh, known), _figure_scores(fresh)
    numbers = draw_sample(run.dataset, 0, SHOWN, 0).train
    written = draw_all(
        run.folder.figures(run.member),
        title=f"{run.method} on {run.dataset.name}",
        subtitle=f"{run.step:,} steps, seed {run.config.seed}",
        config=run.config.to_dict(),
        scores=known,
        layer_labels=run.layer_labels,
        images=images_of(run.dataset, numbers),
        encode=run.encode,
        decode=run.decode,
        kl=shown.get("kl_per_latent", np.full((num_layers, dim), np.nan)),
        mi=shown["mi"][0] if "mi" in shown else None,
        factors=names,
        rows=run.folder.metrics(run.member),
    )
    run.folder.show(run.step, written, run.member)
    run.folder.note(run.step, "drawn", run.member)
    return {name: run.folder.place.public(path) for name, path in written.items()}


def _scored(run: Run, **options: Any) -> list[Row]:
    """Rows of `evaluate` that say whose they are."""
    about = {
        "run": None if run.folder is None else run.folder.name,
        "member": run.member,
        "step": run.step,
        "method": run.method,
        "seed": run.config.seed,
        "matmul_precision": run.precision,
        "settings": settings(run.config),
        "data": dict(run.dataset.identity),
        "library": version("devae_jax"),
    }
    names = {"factors": _factors(run)}  # of the columns of mutual information
    rows = evaluate(run.coder, run.dataset, **options)
    return [about | row | (names if "mi" in row else {}) for row in rows]


def _factors(run: Run) -> list[str]:
    """The names of the discrete factors, none where there are no factors."""
    labels = labels_of(run.dataset)
    return [] if labels is None else np.array(labels.names)[~labels.continuous].tolist()


def _of_run(run: Run, folder: Folder) -> list[Row]:
    """The rows of scores.json that are of this run at this step, on all images."""
    mine, rows = (run.step, run.member), folder.scores()
    return [r for r in rows if (r["step"], r["member"]) == mine and "images" not in r]


def _figure_scores(rows: Iterable[Row]) -> dict[str, np.ndarray]:
    return by_score(row for row in rows if row["representation"] == "mean")


def _laid_over(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Both, but for the old rows that measure what a new row measures."""
    new = list(new)
    names = ("member", "step", "images", "layer", "representation", "protocol", "metric")

    def identity(row: Row) -> tuple:
        return tuple(row.get(name) for name in names)

    replaced = {identity(row) for row in new}
    return [row for row in old if identity(row) not in replaced] + new
