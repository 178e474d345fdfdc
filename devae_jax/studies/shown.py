"""Studies for their page: what tables call the runs in folders, runs that are rows, what lacks."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from devae_jax.runs import manifest
from devae_jax.runs.place import matching
from devae_jax.runs.results import settings
from devae_jax.runs.study import Known
from devae_jax.studies import given, information, make, rows
from devae_jax.studies.members import Member, Study
from devae_jax.studies.show import absent
from devae_jax.viz import members as shown
from devae_jax.viz.report import flatten

Row = dict[str, Any]


def found(pattern: str, file: str) -> tuple[list[Path], list[str]]:
    """The studies whose folder a pattern names, or whose programs, and all runs with a file.

    The runs of a study, or of a sweep, whose folder is named are all of its programs.
    """
    names = [] if "://" in pattern else [Path(name) for name in sorted(glob.glob(pattern))]
    kinds = ("study.json", manifest.NAME)
    whole = [name for name in names if any((name / kind).exists() for kind in kinds)]
    runs = matching(pattern, file)
    runs += [run for place in whole for run in matching(str(place / "*"), file)]
    parents = dict.fromkeys([*whole, *(name.parent for name in names)])
    return [place for place in parents if (place / "study.json").exists()], runs


def known(
    places: Iterable[Path], *, layer: int = 0, exact: bool = False, trust: bool = False
) -> tuple[Known, str]:
    """What the studies in some folders know of their runs, and the commands that make them.

    Runs that a study was given as rows are members without a folder, once for each line however
    many studies have them; what a study lacks is named.

    Args:
      layer, exact: which scores of such runs, as in `runs.study.write`.
      trust: as `make.reopened`.
    """
    titles, commands, missing = [], [], []
    labels: dict[tuple[str, int | None], tuple[str, int]] = {}
    begun: list[tuple[Study, list[Row]]] = []
    for place in places:
        try:
            study = make.reopened(place, trust=trust)
        except ValueError as error:
            missing.append(f"{place.name}: {error}.")
            continue
        titles.append(f"{study.table.title}, preset {study.preset}")
        command = f"launch/reproduce.py {study.name} --preset={study.preset}"
        commands.append(f"python {command} --workdir={place}")
        for m in study.members:
            folder = str(study.folder(m.program).path.absolute())
            labels[folder, m.number] = m.line.label, m.seed
        found = rows.collect(study, given.read([], place))
        begun.append((study, found.rows))
        absentees = absent(found.missing)
        missing += [f"{place.name}, not finished, {text}" for text in absentees]
        missing += [f"{place.name}: {text}" for text in found.damaged]
    seen = {(r["line"], r["setting"]) for _, mine in begun for r in mine if not r["source"]}
    members: list[shown.Member] = []
    for study, mine in begun:
        others = [row for row in mine if (row["line"], row["setting"]) not in seen]
        members += _given(study, others, layer, exact)
        seen |= {(row["line"], row["setting"]) for row in others}
    title = titles[0] if len(titles) == 1 else ""
    return Known(title, labels, members, missing), "\n".join(commands)


def _given(study: Study, found: Sequence[Row], layer: int, exact: bool) -> list[shown.Member]:
    """The members of a study that it has as rows alone."""
    of: dict[tuple[str, int], list[Row]] = {}
    for row in found:
        if row["source"]:
            of.setdefault((row["line"], row["seed"]), []).append(row)
    return [
        _member(member, mine, layer, exact)
        for member in study.members
        if (mine := of.get((member.line.label, member.seed)))
    ]


def _member(member: Member, mine: Sequence[Row], layer: int, exact: bool) -> shown.Member:
    first = mine[0]
    kept = [
        row
        for row in mine
        if (row["at"], row["layer"], row["protocol"] == "exact") == (None, layer, exact)
    ]
    # Step -> what training logged there, of each layer: two shares may be nearest to one step.
    # Mutual information is kept of the first layer alone, and must not pass for another's.
    logged: dict[int, dict[str, dict[int, Any]]] = {}
    for row in sorted(mine, key=lambda row: row["layer"]):
        if row["at"] is not None and (layer == 0 or row["metric"] != information.MI):
            value = information.matrix(row) if row["metric"] == information.MI else row["value"]
            logged.setdefault(row["step"], {}).setdefault(row["metric"], {})[row["layer"]] = value
    named = {"factors": next((row["factors"] for row in mine if row.get("factors")), None)}
    history = [
        {"step": step} | named | {name: list(each.values()) for name, each in values.items()}
        for step, values in logged.items()
    ]
    return shown.Member(
        run=f"{first['study']}: {first['program']}",
        member=first["member"],
        link=None,
        label=member.line.label,
        seed=member.seed,
        step=first["step"] if first["at"] is None else member.config.steps,
        settings=flatten(settings(member.config)),
        data=member.config.data.name,
        version=str(first["version"] or "not recorded"),
        scores=kept,
        history=history,
        lacks=[],
    )
