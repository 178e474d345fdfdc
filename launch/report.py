"""One table of many runs: python launch/report.py --runs='runs/study/*'

Reads every scores.json below, groups runs by method, prints mean ± standard deviation.
"""

import glob
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from absl import flags

from launch import common

_RUNS = flags.DEFINE_string("runs", None, "Folders of runs, as a pattern.", required=True)
_METRICS = flags.DEFINE_list("metrics", ["mig", "reconstruction", "kl"], "Columns.")
_PROTOCOL = flags.DEFINE_string("protocol", "dlib", "Of the scores: dlib or exact.")
_LAYER = flags.DEFINE_integer("layer", 0, "Which latent layer.")


def main() -> None:
    from devae_jax import results, tables

    files = sorted(glob.glob(f"{_RUNS.value}/scores.json"))
    if not files:
        raise ValueError(
            f"got no scores.json in {_RUNS.value}, expected evaluated runs; fix --runs"
        )
    rows = [row | {"run": file} for file in files for row in results.read_scores(Path(file))]
    table = tables.by_method(rows, _METRICS.value, _LAYER.value, _PROTOCOL.value)
    print(tables.markdown(table))


if __name__ == "__main__":
    common.run(main)
