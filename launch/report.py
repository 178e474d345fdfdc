"""One table of many runs: python launch/report.py --runs='runs/study/*' --html=study.html

Reads every scores.json below, groups runs by method, prints mean ± standard deviation. With
--html also, or of a study without scores yet, one page: every member with a link to its own page,
all scores by method, reconstruction against MIG, learning curves, differences between configs.
Runs in the folder of launch/reproduce.py, --runs='runs/table2', have the names of its table; what
it was given as rows is there too. --draw first draws the pages of finished members that lack one.
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from devae_jax.launch import common

COLUMNS = ("mig", "reconstruction_sampled", "kl")

_RUNS = flags.DEFINE_string("runs", None, "Folders of runs, as a pattern.", required=True)
_METRICS = flags.DEFINE_list(
    "metrics", None, f"Columns; default those of {', '.join(COLUMNS)} that were measured."
)
_PROTOCOL = flags.DEFINE_string("protocol", "dlib", "dlib: as published; exact: whole grid.")
_HTML = flags.DEFINE_string("html", None, "Write the study's page to this file.")
_DRAW = flags.DEFINE_bool("draw", False, "Draw finished members that have no page of their own.")
_TRUST = flags.DEFINE_bool(
    "trust", False, "Run the Python files that studies' tables, and with --draw runs, name."
)
_LAYER = flags.DEFINE_integer("layer", 0, "Which latent layer.")


def main() -> None:
    from devae_jax.evaluation import tables
    from devae_jax.metrics.inputs import PROTOCOLS
    from devae_jax.names import differing, unknown
    from devae_jax.runs import study
    from devae_jax.runs.folder import Folder
    from devae_jax.studies import shown

    if _PROTOCOL.value not in PROTOCOLS:
        raise unknown("--protocol", _PROTOCOL.value, PROTOCOLS)
    studies, runs = shown.found(_RUNS.value, "config.json")
    if _DRAW.value:
        common.enable_compilation_cache()
        for text in study.draw(runs, trust=_TRUST.value):
            print(text, file=sys.stderr)
    exact = _PROTOCOL.value == "exact"
    known, commands = shown.known(studies, layer=_LAYER.value, exact=exact, trust=_TRUST.value)
    if _HTML.value is not None:
        write_page(Path(_HTML.value), runs, known, commands)
    _, folders = shown.found(_RUNS.value, "scores.json")
    if not folders and _HTML.value is not None:
        return
    if not folders:
        raise ValueError(
            f"got no scores.json in {_RUNS.value}, expected evaluated runs; fix --runs"
        )
    rows: list[dict] = []
    damage: list[str] = []
    for folder in folders:
        for row in study.lenient_scores(Folder(folder), damage):
            place = str(Path(folder).absolute()), row["member"]
            named = {"method": known.labels[place][0]} if place in known.labels else {}
            rows.append(row | {"run": folder} | named)
    order = list(dict.fromkeys(label for label, _ in known.labels.values()))
    rows.sort(key=lambda row: order.index(row["method"]) if row["method"] in order else len(order))
    if not rows and _HTML.value is not None:
        return
    measured = {row["metric"] for row in rows}
    metrics = _METRICS.value or [name for name in COLUMNS if name in measured] or COLUMNS
    told = [row for row in rows if row["metric"] in metrics]
    versions = {(row["run"], row["member"]): row.get("library") for row in told}
    if _HTML.value is None:  # the page has said it
        for text in (*known.missing, *damage, *differing("library versions", versions.values())):
            print(text, file=sys.stderr)
    if not rows:
        raise ValueError(
            f"got no scores that can be read in {_RUNS.value}, expected some; score the runs again "
            "with launch/evaluate.py"
        )
    print(tables.markdown(tables.by_method(rows, metrics, _LAYER.value, exact)))


def write_page(path: Path, runs, known, commands: str) -> None:
    """Of all runs, finished or not; what cannot be read is said here too."""
    from devae_jax.runs import study

    if path.suffix != ".html" or path.is_dir():
        raise ValueError(f"got --html={path}, expected a file that ends in .html; name one")
    command = shlex.join(["python", "launch/report.py", *sys.argv[1:]])
    lines = "\n".join(filter(None, [commands, command]))
    exact = _PROTOCOL.value == "exact"
    options = {"layer": _LAYER.value, "exact": exact, "known": known}
    for text in study.write(path, runs, command=lines, **options):
        print(text, file=sys.stderr)
    print(f"page of {len(runs)} runs: {path}")


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
