"""Runs in folders as a study's page: what is there is shown, what is not is named."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from devae_jax.evaluation.rows import sifted
from devae_jax.files import parsed, readable, rows_of
from devae_jax.runs import results
from devae_jax.runs.folder import Folder
from devae_jax.runs.run import load
from devae_jax.runs.scores import SCORE_KEYS, checked
from devae_jax.viz.members import NO_PAGE, Member
from devae_jax.viz.report import flatten
from devae_jax.viz.save import save
from devae_jax.viz.study import study

Row = dict[str, Any]
NEEDED = SCORE_KEYS | {"method", "seed", "settings", "data"}  # of a row, to tell whose it is


class Known(NamedTuple):
    """What is known of members besides what their folders hold.

    title: of the page; "": by the file's name
    labels: (folder, member) -> (label, seed), in the order in which members are shown
    members: others, that lie in no folder; missing: what they lack, in words
    """

    title: str = ""
    labels: Mapping[tuple[str, int | None], tuple[str, int]] = {}
    members: Sequence[Member] = ()
    missing: Sequence[str] = ()


def write(
    path: str | os.PathLike,
    folders: Iterable[str | os.PathLike],
    *,
    command: str,
    layer: int = 0,
    exact: bool = False,
    known: Known | None = None,
) -> list[str]:
    """Writes the page of the runs in `folders`, in one step.

    Args:
      path: of the HTML file; links to the runs' pages are relative to it.
      command: the one that makes this page, printed on it.
      layer, exact: which scores, as in `evaluation.tables.by_method`.
      known: what else there is to say of the runs.

    Returns what could not be read, in words; the page is written all the same, and says it too.
    """
    page, known = Path(path).absolute(), known or Known()
    members, missing = read(folders, page.parent, layer=layer, exact=exact, labels=known.labels)
    title = f"Study: {page.stem}" if page.stem != "index" else f"Study: {page.parent.name}"
    text = study(
        in_order([*members, *known.members], known.labels),
        title=known.title or title,
        command=command,
        missing=[*known.missing, *missing],
        layer=layer,
    )
    save(page, text)
    return missing


def in_order(
    members: Sequence[Member], labels: Mapping[tuple[str, int | None], tuple[str, int]]
) -> list[Member]:
    """By label as `labels` have them, and seed; then those of other labels, as they come."""
    order = {label: i for i, (label, _) in enumerate(labels.values())}
    named = [member for member in members if member.label in order]
    named.sort(key=lambda member: (order[member.label], str(member.seed).zfill(9)))
    return [*named, *(member for member in members if member.label not in order)]


def read(
    folders: Iterable[str | os.PathLike],
    beside: Path,
    *,
    layer: int = 0,
    exact: bool = False,
    labels: Mapping[tuple[str, int | None], tuple[str, int]] | None = None,
) -> tuple[list[Member], list[str]]:
    """The members of all runs in folders, and what could not be read.

    Args:
      beside: the folder that links start from.
      labels: of some members, as in `Known`; the others are called after their method.
    """
    named: list[Member] = []
    members: list[Member] = []
    missing: list[str] = []
    for path in folders:
        folder = Folder(path)
        try:
            where = str(Path(path).absolute())
            planned = [number for place, number in labels or () if place == where]
            for member in _members(folder, beside, layer, exact, missing, planned):
                place = where, member.member
                if labels and place in labels:
                    label, seed = labels[place]
                    named.append(member._replace(label=label, seed=seed))
                else:
                    members.append(member)
        except OSError as error:
            missing.append(f"{folder.name}: {error.strerror or error} while it was read.")
        except ValueError as error:
            missing.append(f"{folder.name}: {error}")
        if not folder.path.is_dir():
            missing.append(f"{folder.name}: its folder is gone.")
    return [*named, *labelled(members)], missing


def draw(folders: Iterable[str | os.PathLike], *, trust: bool = False) -> list[str]:
    """Draws every member of runs in folders that is scored at its last step and has no page.

    Args:
      trust: run the Python files of the user's own that runs' configs name.

    Returns what could not be drawn, in words.
    """
    missing: list[str] = []
    for path in folders:
        try:
            folder = Folder(path)
            steps = folder.config().steps
            scored = dict.fromkeys(r["member"] for r in folder.scores() if r["step"] == steps)
            for member in scored:
                if not (folder.figures(member) / "report.html").exists():
                    results.draw(load(path, member=member, trust=trust))
        except (ValueError, OSError) as error:
            missing.append(f"{Path(path).name} was not drawn: {error}")
    return missing


def _members(
    folder: Folder,
    beside: Path,
    layer: int,
    exact: bool,
    missing: list[str],
    planned: Sequence[int | None] = (),
) -> list[Member]:
    """The members of one folder; damage to single rows is named in `missing` and skipped.

    Args:
      planned: numbers of members of which there may be no row yet.
    """
    config = folder.config()
    rows = lenient_scores(folder, missing)
    history = lenient_metrics(folder, missing)
    numbers = {row.get("member") for row in (*rows, *history)} | set(planned)
    present: list[int | None] = [*sorted(n for n in numbers if isinstance(n, int))] or [None]
    found = []
    for member in present:
        mine = [row for row in rows if row["member"] == member]
        curve = [row for row in history if row.get("member") == member]
        step = max((row["step"] for row in (*mine, *curve)), default=0)
        kept = [
            row
            for row in mine
            if (row["step"], row["layer"], row["representation"]) == (step, layer, "mean")
            and (row["protocol"] == "exact") == exact
            and "images" not in row
        ]
        told = kept[0] if kept else {}
        page = folder.figures(member) / "report.html"
        linked = page.exists() and folder.place.local
        lacks = [f"at step {step:,} of {config.steps:,}"] * (step < config.steps)
        lacks += ["not scored"] * (not kept) + [NO_PAGE] * (not page.exists())
        own = told.get("settings")
        whole = own if isinstance(own, Mapping) else results.settings(config)
        # The data set is told apart by what was read where that is known.
        data = told.get("data")
        found.append(
            Member(
                run=folder.name,
                member=member,
                link=os.path.relpath(page, beside) if linked else None,
                label=str(told.get("method") or config.method or config.objective.name),
                seed=told.get("seed", config.seed if member is None else None),
                step=step,
                settings=flatten(whole),
                data=str(data.get("name")) if isinstance(data, Mapping) else config.data.name,
                version=str(told.get("library") or "not recorded"),
                scores=kept,
                history=curve,
                lacks=lacks,
            )
        )
    return found


def lenient_scores(folder: Folder, missing: list[str]) -> list[Row]:
    """The rows of scores.json that are whole; the others are named in `missing`."""
    path = folder.path / "scores.json"
    if not path.exists():
        return []
    try:
        rows = parsed(path.read_text(errors="replace"))
        if not isinstance(rows, list):
            raise ValueError("something else than a list of scores")
    except ValueError as error:
        missing.append(f"{folder.name}: scores.json is damaged ({error}), skipped.")
        return []
    except OSError as error:
        missing.append(f"{folder.name}: {error.strerror or error} while scores.json was read.")
        return []
    whole, skipped = sifted(rows, lambda row: readable(checked(row, NEEDED), "a row"))
    missing += [f"{folder.name}: {which} of scores.json skipped, {why}." for which, why in skipped]
    return whole


def lenient_metrics(folder: Folder, missing: list[str]) -> list[Row]:
    """All rows of metrics, up to the first that is damaged, which is named in `missing`.

    A last line without its end is what a kill leaves, no damage.
    """
    path = folder.path / "metrics.jsonl"
    text = path.read_text(errors="replace") if path.exists() else ""
    rows, cut = rows_of(text), not text.endswith("\n")
    if len(rows) < len(text.splitlines()) - cut:
        text = f"row {len(rows) + 1} of metrics.jsonl is damaged, it and later ones are skipped"
        missing.append(f"{folder.name}: {text}.")
    return rows


def labelled(members: Sequence[Member]) -> list[Member]:
    """Members whose label is their method, and where runs of it differ, how they do."""
    keys = {
        label: differing([m.settings for m in members if m.label == label])
        for label in dict.fromkeys(member.label for member in members)
    }
    found = []
    for member in members:
        parts = [f"{key.split('.')[-1]}={member.settings.get(key)}" for key in keys[member.label]]
        found.append(member._replace(label=", ".join([member.label, *parts])))
    return found


def differing(every: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that not all of these have with one value, in the order in which they come."""
    keys = dict.fromkeys(key for one in every for key in one)
    return [key for key in keys if any(one.get(key) != every[0].get(key) for one in every)]
