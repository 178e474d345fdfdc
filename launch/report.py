"""One table of many runs: python launch/report.py --runs='runs/study/*'

Reads every scores.json below, groups runs by method, prints mean ± standard deviation.
"""

import glob
from pathlib import Path

from absl import flags

from devae_jax.launch import common

COLUMNS = ("mig", "reconstruction_sampled", "kl")

_RUNS = flags.DEFINE_string("runs", None, "Folders of runs, as a pattern.", required=True)
_METRICS = flags.DEFINE_list(
    "metrics", None, f"Columns; default those of {', '.join(COLUMNS)} that were measured."
)
_PROTOCOL = flags.DEFINE_string("protocol", "dlib", "dlib: as published; exact: whole grid.")
_LAYER = flags.DEFINE_integer("layer", 0, "Which latent layer.")


def main() -> None:
    from devae_jax.evaluation import tables
    from devae_jax.metrics.inputs import PROTOCOLS
    from devae_jax.names import unknown
    from devae_jax.runs.folder import Folder

    if _PROTOCOL.value not in PROTOCOLS:
        raise unknown("--protocol", _PROTOCOL.value, PROTOCOLS)
    files = sorted(glob.glob(f"{_RUNS.value}/scores.json"))
    if not files:
        raise ValueError(
            f"got no scores.json in {_RUNS.value}, expected evaluated runs; fix --runs"
        )
    rows = [row | {"run": file} for file in files for row in Folder(Path(file).parent).scores()]
    measured = {row["metric"] for row in rows}
    metrics = _METRICS.value or [name for name in COLUMNS if name in measured] or COLUMNS
    exact = _PROTOCOL.value == "exact"
    print(tables.markdown(tables.by_method(rows, metrics, _LAYER.value, exact)))


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
