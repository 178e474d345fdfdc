"""Does a test notice when a line changes? Mutants of the library, each against its own tests.

    python -m tests.mutants --count=150 --rows=mutants.jsonl    goes on where it stopped
    python -m tests.mutants --files=objectives/tc.py --count=20
    python -m tests.mutants --rows=mutants.jsonl --report

A mutant is one small change: another operator, comparison, number, axis, name or condition. The
tests of its file (`TESTS`) run in a process forked from one that has imported JAX, in a copy of the
repository, with a time limit. A mutant that every test passes is a survivor: write the test, or
say why the change changes nothing (`tests/mutants_equivalent.txt`). The sample is the same for the
same seed and sources; it takes one of every file in turn.
"""

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants_made import Mutant, mutants

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).parent / "mutants_equivalent.txt"
PARTS = ("objectives", "metrics", "data", "training", "runs")
# What tests a file: the longest beginning of its name counts.
TESTS = {
    "objectives/": "tests/objectives/test_terms.py tests/oracles/test_objectives.py",
    "objectives/ada_gvae": "tests/objectives/test_ada_gvae.py",
    "objectives/adversarial": "tests/objectives/test_adversarial.py "
    "tests/oracles/test_factor_vae.py",
    "objectives/batch": "tests/objectives/test_batch.py",
    "objectives/control": "tests/oracles/test_controllers.py tests/objectives/test_terms.py",
    "objectives/dip": "tests/objectives/test_tc.py tests/oracles/test_objectives.py",
    "objectives/elbo": "tests/objectives/test_elbo.py tests/objectives/test_batch.py",
    "objectives/gaussian": "tests/objectives/test_gaussian.py",
    "objectives/infogan": "tests/objectives/test_infogan.py",
    "objectives/kl": "tests/objectives/test_bottleneck.py tests/objectives/test_terms.py",
    "objectives/likelihood": "tests/objectives/test_gaussian.py tests/objectives/test_elbo.py",
    "objectives/tc": "tests/objectives/test_tc.py tests/objectives/test_batch.py",
    "metrics/": "tests/metrics/test_parts.py tests/metrics/test_information.py "
    "tests/metrics/test_invariances.py "
    "tests/metrics/test_edges.py tests/metrics/test_reference_thresholds.py "
    "tests/metrics/test_registry.py tests/oracles/test_metrics.py",
    "metrics/binning": "tests/metrics/test_information.py tests/metrics/test_edges.py",
    "metrics/choice": "tests/metrics/test_registry.py tests/evaluation/test_evaluate.py",
    "metrics/continuous": "tests/metrics/test_continuous.py tests/metrics/test_edges.py",
    "metrics/declaration": "tests/metrics/test_registry.py tests/evaluation/test_evaluate.py",
    "metrics/dci": "tests/metrics/test_parts.py tests/oracles/test_metrics.py",
    "metrics/draws": "tests/metrics/test_parts.py tests/metrics/test_continuous.py",
    "metrics/mcc": "tests/metrics/test_continuous.py tests/metrics/test_edges.py",
    "metrics/numeric": "tests/metrics/test_continuous.py tests/metrics/test_parts.py",
    "metrics/registry": "tests/metrics/test_registry.py tests/evaluation/test_evaluate.py",
    "metrics/regression": "tests/metrics/test_continuous.py tests/metrics/test_edges.py",
    "metrics/table": "tests/metrics/test_parts.py tests/metrics/test_registry.py",
    "data/": "tests/data/test_sources.py tests/data/test_factors.py",
    "data/__init__": "tests/data/test_sources.py tests/data/test_labelled.py "
    "tests/data/test_unlabelled.py",
    "data/arrays": "tests/data/test_unlabelled.py tests/data/test_labelled.py "
    "tests/reliability/test_foreign.py",
    "data/builder": "tests/data/test_labelled.py",
    "data/cache": "tests/reliability/test_tables_on_disk.py tests/data/test_dsprites_regen.py",
    "data/dsprites_regen": "tests/data/test_dsprites_regen.py tests/data/test_drawn.py",
    "data/factors": "tests/data/test_factors.py tests/data/test_variants.py",
    "data/foreign": "tests/reliability/test_foreign.py",
    "data/images": "tests/data/test_images.py tests/data/test_unlabelled.py",
    "data/known": "tests/data/test_published.py",
    "data/labels": "tests/data/test_labelled.py",
    "data/lobes": "tests/data/test_drawn.py",
    "data/multi": "tests/data/test_drawn.py",
    "data/ondevice": "tests/data/test_sources.py tests/data/test_variants.py",
    "data/pairs": "tests/data/test_sources.py tests/data/test_drawn.py",
    "data/pictures": "tests/data/test_unlabelled.py tests/reliability/test_foreign.py",
    "data/published/": "tests/data/test_published.py tests/data/test_layouts.py",
    "data/raw": "tests/data/test_published.py tests/data/test_real.py",
    "data/raycast": "tests/data/test_shapes3d_like.py",
    "data/real": "tests/data/test_real.py",
    "data/regimes": "tests/data/test_regimes.py",
    "data/shapes3d": "tests/data/test_shapes3d_like.py",
    "data/stream": "tests/data/test_stream.py",
    "data/table": "tests/data/test_dsprites_regen.py tests/data/test_real.py",
    "data/temporal": "tests/data/test_drawn.py tests/data/test_sources.py",
    "data/tfds": "tests/data/test_labelled.py tests/data/test_unlabelled.py",
    "data/traversals": "tests/data/test_traversals.py",
    "data/variants": "tests/data/test_variants.py",
    "data/verify": "tests/reliability/test_tables_on_disk.py",
    "data/xy": "tests/data/test_drawn.py",
    "training/": "tests/training tests/objectives/test_elbo.py",
    "training/chunks": "tests/data/test_stream.py",
    "training/checkpoint": "tests/reliability/test_damage.py",
    "training/digests": "tests/reliability/test_damage.py",
    "training/loop": "tests/runs/test_training.py",
    "training/optim": "tests/training/test_optim.py",
    "training/progress": "tests/training/test_progress.py",
    "training/step": "tests/training/test_engine.py tests/runs/test_training.py",
    "training/writer": "tests/runs/test_training.py",
    "runs/": "tests/reliability/test_finished.py tests/reliability/test_compatibility.py",
    "runs/results": "tests/evaluation/test_results.py",
    "runs/train": "tests/runs",
}
LIMIT = 150.0  # seconds for the tests of a mutant
SHARED = ("flax.linen", "hypothesis", "optax", "orbax.checkpoint", "pytest", "sklearn.ensemble")


def sampled(files: list[str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants, one of every file in turn."""
    rng = random.Random(seed)
    queues = []
    for file in sorted(files):
        found = list(mutants(file, (ROOT / "devae_jax" / file).read_text()))
        rng.shuffle(found)
        queues.append(list({mutant.name: mutant for mutant in found}.values()))
    rng.shuffle(queues)
    turns = [queue[i] for i in range(max(map(len, queues))) for queue in queues if i < len(queue)]
    return turns[:count]


def tests_of(file: str) -> list[str]:
    """The arguments of pytest that test a file: of the longest beginning of its name."""
    return TESTS[max((key for key in TESTS if file.startswith(key)), key=len)].split()


def run(tests: list[str], folder: Path) -> tuple[str, float, str]:
    """The tests in `folder`: "survived", "killed" or "slow", undecided; seconds; which failed."""
    began, log = time.monotonic(), folder / "log.txt"
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(folder)
        sys.path[0] = str(folder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        import pytest

        fast = ["-x", "-q", "-rfE", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"]
        code = 3
        try:
            code = int(pytest.main([*fast, *tests]))
        finally:
            os._exit(code)
    while time.monotonic() < began + LIMIT:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            seconds, text = time.monotonic() - began, log.read_text(errors="replace")
            failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.M)
            if os.waitstatus_to_exitcode(status) == 0:
                return "survived", seconds, ""
            return "killed", seconds, failed[1] if failed else text[-200:]
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "slow", LIMIT, ""


def copied(folder: Path) -> Path:
    """The repository without what is no source of it."""
    skip = shutil.ignore_patterns(".git", ".venv*", "runs", "build", "*.egg-info", "__pycache__")
    for name in ("devae_jax", "tests", "configs", "launch", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip if name != "devae_jax" else None)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, folder)
    return folder


def measure(wanted: list[Mutant], rows: Path) -> None:
    """Runs the tests of every mutant and writes a row of each."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in SHARED:
        importlib.import_module(name)

    with tempfile.TemporaryDirectory() as temporary:
        os.environ["DEVAE_TEST_COMPILED"] = f"{temporary}/compiled"
        folder = copied(Path(temporary) / "copy")
        for mutant in wanted:
            path = folder / "devae_jax" / mutant.file
            source = path.read_bytes()
            path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
            outcome, seconds, by = run(tests_of(mutant.file), folder)
            path.write_bytes(source)
            row = {"name": mutant.name, "line": mutant.line, "outcome": outcome, "by": by}
            with rows.open("a") as file:
                file.write(json.dumps(row | {"seconds": round(seconds, 1)}) + "\n")
            print(f"{outcome:8} {seconds:5.0f} s  {mutant.name} (line {mutant.line})", flush=True)


def read_rows(path: Path) -> list[dict]:
    """The newest row of every mutant."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({row["name"]: row for row in map(json.loads, lines)}.values())


def explained() -> dict[str, str]:
    """The names of mutants that change nothing, and why."""
    lines = EQUIVALENT.read_text().splitlines()
    return dict(line.rsplit("  # ", 1) for line in lines if "  # " in line)


def report(rows: list[dict]) -> str:
    """The score, and what survived without an explanation."""
    known = explained()
    counted = [row for row in rows if row["name"] not in known]
    killed = [row for row in counted if row["outcome"] == "killed"]
    score = 100 * len(killed) / max(len(counted), 1)
    lines = [
        f"{len(rows)} mutants of the present sources, {len(rows) - len(counted)} of which change "
        f"nothing; {len(killed)} of the other {len(counted)} killed: {score:.0f} %"
    ]
    lines += [f"{row['outcome']}: {row['name']}" for row in counted if row not in killed]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--files", nargs="*", help="of devae_jax, objectives/tc.py")
    parser.add_argument(
        "--again", action="store_true", help="run those that survived or were slow again"
    )
    parser.add_argument("--report", action="store_true", help="print what --rows says")
    given = parser.parse_args()
    files = given.files or [
        path.relative_to(ROOT / "devae_jax").as_posix()
        for part in PARTS
        for path in (ROOT / "devae_jax" / part).rglob("*.py")
    ]
    every = sampled(files, sys.maxsize, given.seed)
    rows = {row["name"]: row for row in read_rows(given.rows)}
    if given.again:
        undecided = {name for name, row in rows.items() if row["outcome"] != "killed"}
        measure([m for m in every if m.name in undecided - explained().keys()], given.rows)
    elif not given.report:
        measure([m for m in every[: given.count] if m.name not in rows], given.rows)
    names = {mutant.name for mutant in every}
    print(report([row for row in read_rows(given.rows) if row["name"] in names]))


if __name__ == "__main__":
    main()
