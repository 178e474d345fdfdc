"""What a table of a paper is: lines of configs, columns of scores, presets of size.

The paper's are in `configs/paper/`, others in `configs/studies/`, one file each, with a `TABLE`.
One's own is such a file anywhere, named by its path.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from devae_jax.names import lookup, unknown
from devae_jax.program import keys, references


class Published(NamedTuple):
    """A value as a paper prints it; None where it prints no deviation."""

    mean: float
    std: float | None = None


class Column(NamedTuple):
    """One score of a member.

    score: a name of scores.json, or, with a "/", of metrics.jsonl: what training logged
    layer: which latent layer
    at: of what training logged, when: the share of the steps that are done
    """

    label: str
    score: str
    layer: int = 0
    at: float = 1.0


class Line(NamedTuple):
    """One setting, trained with several seeds.

    config: its config with variants, "devae:shapes3d", or one's own, "/path/to/config.py:variants";
      a preset adds variants
    changes: keys of the config that differ, laid over it last
    published: by the label of a column
    """

    label: str
    config: str
    changes: Mapping[str, Any] = {}
    published: Mapping[str, Published] = {}


class Preset(NamedTuple):
    """A size at which a table is made.

    seeds: runs of each line, with seeds 0, 1, ...
    variants: added to every config, "cpu" or "toy"
    steps: of each run, what lasts a while in proportion; None: those of the config
    changes: keys of the config, laid over it before those of a line
    at_once: members that train in one program; 0: as memory allows
    metrics: with which members are scored; empty: those of the table
    instead: metrics of the table that another one stands for, {"dci": "dci_hist_boosted"}
    cut: what differs from the published setting, in words
    """

    seeds: int
    variants: str = ""
    steps: int | None = None
    changes: Mapping[str, Any] = {}
    at_once: int = 0
    metrics: Sequence[str] = ()
    instead: Mapping[str, str] = {}
    cut: str = ""


class Table(NamedTuple):
    """A table or figure of a paper.

    metrics: with which members are scored, names as of `evaluate`
    draw: every member's figures are drawn, too
    figure: how the table is drawn, a name in `studies.figure.FIGURES`
    notes: what to know when comparing with the published values
    read: what its rows say, in sentences
    """

    title: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    presets: Mapping[str, Preset]
    metrics: Sequence[str] = ("cheap",)
    draw: bool = False
    figure: str = "strips"
    notes: Sequence[str] = ()
    read: Callable[[Sequence[Mapping[str, Any]]], Sequence[str]] = lambda rows: ()


def split(label: str) -> tuple[str, str]:
    """The group and name of a line, ("dSprites", "DeVAE") of "dSprites: DeVAE", or ("", label)."""
    group, colon, name = label.partition(": ")
    return (group, name) if colon else ("", label)


def names() -> list[str]:
    """Of the tables in `configs/paper/` and `configs/studies/`."""
    return sorted(_modules())


def is_own(name: str) -> bool:
    """Whether a name is the path of a file, whose code is the user's own."""
    return isinstance(name, str) and name.endswith(".py")


def named(name: str) -> str:
    """The name of a table as its study keeps it: a path absolute, to be found from anywhere."""
    return str(Path(name).expanduser().resolve()) if is_own(name) else name


def load(name: str) -> Table:
    """A table of `configs/paper/` or `configs/studies/`, or the `TABLE` of a file of one's own.

    Raises:
      ValueError: there is none of that name, or the file does not run or has none that fits.
    """
    if is_own(name):
        return _checked(references.load(f"{named(name)}:TABLE", "table"), named(name))
    if name not in _modules():
        raise unknown("table", name, names())
    return importlib.import_module(_modules()[name]).TABLE


def _checked(table: Any, file: str) -> Table:
    """A table of the user's own. Raises ValueError, in one line, for what is none."""
    from devae_jax.metrics.choice import metrics_of
    from devae_jax.metrics.registry import SCORES

    if not isinstance(table, Table):
        raise ValueError(
            f"got {type(table).__name__} as TABLE of {file}, expected studies.table.Table; fix it"
        )
    for part, kind in (("lines", Line), ("columns", Column)):
        items = getattr(table, part)
        fits = isinstance(items, list | tuple) and all(isinstance(item, kind) for item in items)
        labels = [item.label for item in items] if fits else []
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(
                f"got {part} of the TABLE of {file}, expected one or more {kind.__name__}(…) of "
                f"different labels; fix them: {', '.join(map(str, labels)) or type(items).__name__}"
            )
    sizes = table.presets.values() if isinstance(table.presets, Mapping) else ()
    if not sizes or not all(isinstance(size, Preset) for size in sizes):
        raise ValueError(
            f'got presets of the TABLE of {file}, expected {{"cpu": Preset(…)}}; fix it'
        )
    own = [score.name for each in metrics_of(table.metrics).values() for score in each.scores]
    for score in (column.score for column in table.columns):
        if "/" not in score and score not in (*SCORES, *own):
            raise unknown(f"score of the TABLE of {file}", score, dict.fromkeys((*SCORES, *own)))
    return table


def _modules() -> dict[str, str]:
    """Name of each table -> its module."""
    from devae_jax.configs import paper, studies

    found = {
        module.name: f"{package.__name__}.{module.name}"
        for package in (paper, studies)
        for module in pkgutil.iter_modules(package.__path__)
    }
    return {name: module for name, module in found.items() if name != "presets"}


def preset_of(table: Table, name: str) -> Preset:
    """Raises ValueError, with the nearest name, for a preset that the table lacks."""
    if name not in table.presets:
        raise unknown("preset", name, table.presets)
    return table.presets[name]


def at(table: Table, preset: Preset) -> Table:
    """The table with the metrics, and the columns, that a preset has in place of the table's.

    Published values stay with the labels of the table: of another metric there are none.

    Raises:
      ValueError: a metric of `instead` is not known.
    """
    from devae_jax.metrics.registry import METRICS

    stands = {}  # score of the table -> score of the preset, what it is called after its label
    for usual, other in preset.instead.items():
        ours, theirs = (lookup(METRICS, name, "metric") for name in (usual, other))
        for old, new in zip(ours.scores, theirs.scores, strict=True):
            stands[old.name] = (new.name, f" ({theirs.protocol})")
    columns = []
    for column in table.columns:
        score, called = stands.get(column.score, (column.score, ""))
        columns.append(column._replace(score=score, label=column.label + called))
    metrics = tuple(preset.instead.get(name, name) for name in preset.metrics or table.metrics)
    return table._replace(columns=tuple(columns), metrics=metrics)


def config_of(line: Line, preset: Preset) -> Any:
    """The config of a line at a size, without the line's own changes.

    Raises:
      ValueError: there is no such config, variant or key.
    """
    from devae_jax.configs import variants

    name, _, own = line.config.partition(":")
    wanted = ",".join(filter(None, [own, preset.variants]))
    if is_own(name):
        get_config = references.load(f"{name}:get_config", f"config of line {line.label!r}")
        given = [wanted] if wanted else []
        try:
            inspect.signature(get_config).bind(*given)
        except TypeError as error:
            raise ValueError(
                f"got variants {wanted!r} for {name}, expected a get_config that takes them "
                f"({error}); write def get_config(variants='')"
            ) from error
        config = get_config(*given)
    else:
        try:
            module = importlib.import_module(f"devae_jax.configs.{name}")
        except ModuleNotFoundError as error:
            raise ValueError(
                f"got config {name!r} of line {line.label!r}, expected a name in configs/, or a "
                "file that ends in .py; fix it"
            ) from error
        config = module.get_config(wanted)
    if preset.steps is not None:
        variants.shorten(config, preset.steps)
    return keys.laid_over(config, preset.changes)
