"""A study as the paper's table: our value beside the published one, and how it was made."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from devae_jax.evaluation.rows import interval
from devae_jax.names import printable
from devae_jax.program import keys
from devae_jax.studies.members import Member, Study
from devae_jax.studies.rows import Found, Missing, Row, values_of
from devae_jax.studies.table import Preset, Published, config_of

# Keys that say when something is written down, or where, not what is learned.
ASIDE = ("train.", "parallel.", "eval.", "method", "seed", "data.data_dir")


def markdown(study: Study, found: Found) -> str:
    """The table with seeds, mean ± deviation, 95 % interval and the published value of each score.

    A line is a setting's score; where nothing is published, a setting with all its scores.
    Below it: what differs from the published setting, where, how long and for which table runs
    were trained, and what is missing.
    """
    rows = found.rows
    whole = any(line.published for line in study.table.lines)
    lines = [f"## {study.table.title}", "", *(_long if whole else _wide)(study, rows)]
    lines += ["", f"Preset `{study.preset}`: {study.size.cut or 'nothing is cut'}."]
    lines += [f"- {text}." for text in (*study.table.notes, *differences(study))]
    lines += [f"- {_escaped(text)}." for text in (*study.table.read(rows), *made(rows))]
    if found.missing:
        lines += ["", f"Missing, {len(found.missing)} of {len(study.members)} runs:"]
        lines += [f"- {_escaped(text)}" for text in absent(found.missing)]
    if found.damaged:
        lines += ["", "Damaged:", *(f"- {_escaped(text)}" for text in found.damaged)]
    return "\n".join(lines)


def _long(study: Study, rows: Sequence[Row]) -> list[str]:
    lines = [
        "| setting | score | seeds | ours | 95 % interval | published |",
        "|---|---|---|---|---|---|",
    ]
    for line in study.table.lines:
        label = line.label
        for column in study.table.columns:
            values = values_of(rows, line.label, column.label)
            published = line.published.get(column.label)
            if values or published or not rows:
                lines.append(_row(label, column.label, *_cells(values, published)))
                label = ""
    return lines


def _wide(study: Study, rows: Sequence[Row]) -> list[str]:
    labels = [column.label for column in study.table.columns]
    lines = [_row("setting", "seeds", *labels), "|---" * (len(labels) + 2) + "|"]
    for line in study.table.lines:
        scores = [values_of(rows, line.label, label) for label in labels]
        cells = [_cells(values, None)[1:3] for values in scores]
        texts = [ours if between == "–" else f"{ours} ({between})" for ours, between in cells]
        lines.append(_row(line.label, str(max(map(len, scores))), *texts))
    return lines


def _row(*cells: str) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def absent(missing: Sequence[Missing]) -> list[str]:
    """Missing members in words, those of the same seeds and reason together.

    "seeds 0, 1: β-VAE; DeVAE (is being trained)", with nothing behind what is not trained yet.
    """
    seeds: dict[tuple[str, str], list[int]] = {}
    for member, why in missing:
        seeds.setdefault((member.line.label, why), []).append(member.seed)
    lines: dict[tuple[str, str], list[str]] = {}
    for (label, why), each in seeds.items():
        name = f"seed{'s' * (len(each) > 1)} {', '.join(map(str, each))}"
        lines.setdefault((name, f" ({why})" if why else ""), []).append(label)
    return [f"{name}: {'; '.join(labels)}{why}" for (name, why), labels in lines.items()]


def differences(study: Study) -> list[str]:
    """Keys in which the configs differ from those of the preset `paper`, "key: paper -> here".

    Those of every line first, then of each line alone.
    """
    published = study.table.presets.get("paper", Preset(study.size.seeds))
    found: dict[str, list[str]] = {}
    for line in study.table.lines:
        first = next(member for member in study.members if member.line is line)
        found[line.label] = _differing(published, first)
    shared = [
        text
        for text in next(iter(found.values()), [])
        if all(text in each for each in found.values())
    ]
    seeds = f"seeds: {published.seeds} -> {study.size.seeds}"
    texts = [seeds] * (published.seeds != study.size.seeds) + shared
    alone = {label: [t for t in each if t not in shared] for label, each in found.items()}
    all_lines = [f"all lines: {'; '.join(texts)}"] if texts else []
    return all_lines + [f"{label}: {'; '.join(each)}" for label, each in alone.items() if each]


def made(rows: Sequence[Row]) -> list[str]:
    """Of the runs that are there: for which table, where, by which version and how long.

    The lines are named where they are not all from one training place.
    """
    places: dict[tuple, dict[tuple, Row]] = {}  # where -> run -> one of its rows
    for row in rows:
        where = row["study"], row["device"], row["version"]
        run = row["line"], row["seed"]
        places.setdefault(where, {}).setdefault(run, row)
    texts = []
    for (study, device, version), runs in places.items():
        times = [row["seconds"] for row in runs.values() if row["seconds"] is not None]
        text = f"{len(runs)} run{'s' * (len(runs) > 1)} for {study} "
        text += f"on {device or 'a device that is not known'}"
        text += f" by devae_jax {version or 'of an unknown version'}"
        if times:
            # Nobody has the time of a process that was killed.
            lost = any(row["seconds"] is None or row.get("untimed") for row in runs.values())
            text += ": at least " if lost else ": "
            text += f"{sum(times) / 60:,.1f} minutes, {np.mean(times) / 60:,.1f} a run"
        if len(places) > 1:
            text += f" ({'; '.join(dict.fromkeys(line for line, _ in runs))})"
        texts.append(text)
    return texts


def _differing(published: Preset, member: Member) -> list[str]:
    theirs = keys.laid_over(config_of(member.line, published), member.line.changes)
    old, new = keys.flatten(keys.normalised(theirs)), keys.flatten(keys.normalised(member.config))
    return [
        f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(ASIDE)
    ]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cells(values: Sequence[float], published: Published | None) -> list[str]:
    low, high = interval(values) if values else (None, None)
    between = "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    theirs = "–" if published is None else _with_deviation(published.mean, published.std)
    if not values:
        return ["0", "–", "–", theirs]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    ours = _with_deviation(float(np.mean(values)), deviation)
    return [str(len(values)), ours, between, theirs]


def _with_deviation(mean: float, std: float | None) -> str:
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def _escaped(text: str) -> str:
    return printable(text).replace("|", "\\|")
