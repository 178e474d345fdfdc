"""What a study's runs learned, as one picture: their traversals, and their information over
training. A run that lacks it is named on the picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from devae_jax.studies.information import history
from devae_jax.studies.members import Study
from devae_jax.studies.rows import Missing
from devae_jax.studies.show import absent
from devae_jax.viz.beside import beside
from devae_jax.viz.curves import Diffusion, diffusions
from devae_jax.viz.rows import factors_of
from devae_jax.viz.save import Picture, loaded

Row = dict[str, Any]
DRAWN = "traversals_layer0.png"  # of a run's figures: of its first latent layer, as in the paper
NOT_FINISHED = "No run of it is finished."


def traversals(study: Study, rows: Sequence[Row]) -> Picture | None:
    """The traversals of each line's first run, as they are drawn in the run's folder.

    Rows have no pictures: a line that has but rows says so.
    """
    if not rows:
        return None
    found: dict[str, np.ndarray | str] = {}
    for line in study.table.lines:
        seed, picture = _traversal(study, line.label, rows)
        found[line.label if seed is None else f"{line.label}, seed {seed}"] = picture
    note = (
        f"Preset {study.preset}. One run of each line, the first seed that is drawn; its first "
        "latent layer. A row is a latent that moves while the others stay, the largest KL first."
    )
    return beside(found, title=study.table.title, note=note)


def diffusion(study: Study, rows: Sequence[Row]) -> Picture | None:
    """The mutual information of latents and factors over training, of each line's first run."""
    if not rows:
        return None
    found: dict[str, Diffusion | str] = {}
    lacking: list[Missing] = []
    for line in study.table.lines:
        text, first = NOT_FINISHED, None
        for member in (m for m in study.members if m.line is line):
            mine = _of(rows, line.label, member.seed)
            steps, mi = history(mine)
            if len(steps) and first is None:
                first = member.seed
                found[f"{line.label}, seed {first}"] = steps, mi, factors_of(mine, mi.shape[2])
            elif mine and not len(steps):
                lacking.append(Missing(member, ""))
                text = "The rows of its runs have no mutual information over training."
        if first is None:
            found[line.label] = text
    note = (
        f"Preset {study.preset}. One run of each line, the first seed that has it, at eighths of "
        "training; first latent layer. A colour is a latent of one run, not the same in two."
    )
    if lacking:
        note += f" Rows without mutual information over training: {', '.join(absent(lacking))}."
    return diffusions(found, title=study.table.title, note=note)


def _traversal(study: Study, label: str, rows: Sequence[Row]) -> tuple[int | None, Any]:
    """The first seed of a line that is drawn, and its picture; or None, and why there is none."""
    undrawn, given = "", ""
    for member in (m for m in study.members if m.line.label == label):
        mine = _of(rows, label, member.seed)
        folder = study.folder(member.program)
        if any(row["source"] is None for row in mine):
            picture = loaded(folder.figures(member.number) / DRAWN)
            if picture is not None:
                return member.seed, picture
            undrawn = undrawn or (
                f"Seed {member.seed} is trained and has no picture that can be read: "
                f"launch/visualize.py draws it ({folder.name}, member {member.number})."
            )
        elif mine:
            given = given or f"Seed {member.seed} is given as rows, which have no pictures."
    return None, undrawn or given or NOT_FINISHED


def _of(rows: Sequence[Row], label: str, seed: int) -> list[Row]:
    return [row for row in rows if (row["line"], row["seed"]) == (label, seed)]
