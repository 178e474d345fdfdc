"""One table of many runs: python launch/report.py --runs='runs/study/*' --html=study.html

Reads every scores.json below, groups runs by method, prints mean ± standard deviation. With
--html also, or of a study without scores yet, one page: every member with a link to its own page,
all scores by method, reconstruction against MIG, learning curves, differences between configs.
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
_LAYER = flags.DEFINE_integer("layer", 0, "Which latent layer.")


def main() -> None:
    from devae_jax.evaluation import tables
    from devae_jax.metrics.inputs import PROTOCOLS
    from devae_jax.names import unknown
    from devae_jax.runs.folder import Folder
    from devae_jax.runs.place import matching
    from devae_jax.runs.study import lenient_scores

    if _PROTOCOL.value not in PROTOCOLS:
        raise unknown("--protocol", _PROTOCOL.value, PROTOCOLS)
    if _HTML.value is not None:
        write_page(Path(_HTML.value))
    folders = matching(_RUNS.value, "scores.json")
    if not folders and _HTML.value is not None:
        return
    if not folders:
        raise ValueError(
            f"got no scores.json in {_RUNS.value}, expected evaluated runs; fix --runs"
        )
    rows: list[dict] = []
    damage: list[str] = []
    for folder in folders:
        rows += [row | {"run": folder} for row in lenient_scores(Folder(folder), damage)]
    if _HTML.value is None:  # the page has said it
        for text in damage:
            print(text, file=sys.stderr)
    measured = {row["metric"] for row in rows}
    metrics = _METRICS.value or [name for name in COLUMNS if name in measured] or COLUMNS
    exact = _PROTOCOL.value == "exact"
    print(tables.markdown(tables.by_method(rows, metrics, _LAYER.value, exact)))


def write_page(path: Path) -> None:
    """Of all runs, finished or not; what cannot be read is said here too."""
    from devae_jax.runs import study
    from devae_jax.runs.place import matching

    if path.suffix != ".html" or path.is_dir():
        raise ValueError(f"got --html={path}, expected a file that ends in .html; name one")
    command = shlex.join(["python", "launch/report.py", *sys.argv[1:]])
    folders = matching(_RUNS.value, "config.json")
    exact = _PROTOCOL.value == "exact"
    for text in study.write(path, folders, command=command, layer=_LAYER.value, exact=exact):
        print(text, file=sys.stderr)
    print(f"page of {len(folders)} runs: {path}")


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
