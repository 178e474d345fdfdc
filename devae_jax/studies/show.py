"""A study as the paper's table: our value beside the published one, and how it was made."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from devae_jax.evaluation.rows import interval
from devae_jax.names import printable
from devae_jax.program import keys
from devae_jax.studies.members import Member, Study
from devae_jax.studies.rows import Row
from devae_jax.studies.table import Preset, Published, config_of

# Keys that say when something is written down, or where, not what is learned.
ASIDE = ("train.", "parallel.", "eval.", "method", "seed", "data.data_dir")


def markdown(study: Study, rows: Sequence[Row], missing: Sequence[str] = ()) -> str:
    """The table with seeds, mean ± deviation, 95 % interval and the published value of each score.

    Below it: what differs from the published setting, time and device, and what is missing.
    """
    lines = [
        f"## {study.table.title}",
        "",
        "| setting | score | seeds | ours | 95 % interval | published |",
        "|---|---|---|---|---|---|",
    ]
    for line in study.table.lines:
        label = line.label
        for column in study.table.columns:
            mine = [r for r in rows if (r["line"], r["column"]) == (line.label, column.label)]
            values = [row["value"] for row in mine if row["value"] is not None]
            published = line.published.get(column.label)
            if values or published or not rows:
                cells = [label, column.label, *_cells(values, published)]
                lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
                label = ""
    lines += ["", f"Preset `{study.preset}`: {study.size.cut or 'nothing is cut'}."]
    lines += [f"- {text}." for text in (*study.table.notes, *differences(study))]
    lines += [f"- {text}." for text in made(rows)]
    if missing:
        lines += ["", f"Missing, {len(missing)} of {len(study.members)} runs or files:"]
        lines += [f"- {_escaped(text)}" for text in missing]
    return "\n".join(lines)


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
    """Time and devices of the runs that are there, from their rows."""
    shares = {(row["program"], row["member"]): (row["seconds"], row["device"]) for row in rows}
    by_device: dict[str, list[float]] = {}
    for seconds, device in shares.values():
        if seconds is not None:
            by_device.setdefault(device, []).append(seconds)
    return [
        f"{len(times)} runs on {printable(device)}: {sum(times) / 60:,.1f} minutes, "
        f"{np.mean(times) / 60:,.1f} a run"
        for device, times in by_device.items()
    ]


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
