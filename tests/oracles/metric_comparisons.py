"""Every metric beside disentanglement_lib's value on the same inputs.

python -m tests.oracles.metric_comparisons            the whole table, two minutes
python -m tests.oracles.metric_comparisons --dci      with boosted trees, ten minutes more
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from devae_jax import metrics
from tests import oracle_inputs as inputs

Result = dict[str, Any]
CASES = inputs.ORACLE["cases"]
GRID = inputs.GRIDS["dsprites"]


class Comparison(NamedTuple):
    """One quantity; `tolerance` bounds the largest absolute difference."""

    name: str
    ours: Any
    oracle: Any
    tolerance: float

    @property
    def difference(self) -> float:
        return float(np.max(np.abs(np.asarray(self.ours, float) - np.asarray(self.oracle, float))))


class Family(NamedTuple):
    """A metric: the oracle's entry, how to run it on a case, and what to compare."""

    entry: str
    run: Callable[[str], Result]
    compare: Callable[[Result, Any], list[Comparison]]


@functools.cache
def made(case: str) -> inputs.Inputs:
    return inputs.make(case)


@functools.lru_cache(1)
def grid_codes(case: str) -> metrics.CodeTable:
    """The code of all 737,280 images."""
    points = np.arange(np.prod(GRID.sizes))
    factors = np.stack(np.unravel_index(points, GRID.sizes), axis=1)
    return metrics.CodeTable(inputs.represent(case, "dsprites")(factors), GRID)


def rows_of(case: str, entry: str) -> tuple[np.ndarray, ...]:
    """The training and test rows that the oracle's entry was computed on."""
    oracle = CASES[case].get(entry, {})
    return made(case).first(oracle.get("n_train", 10_000), oracle.get("n_test", 5_000))


def compare_mig(result: Result, oracle: Any) -> list[Comparison]:
    return [
        Comparison("mig", result["mig"], oracle["values"]["discrete_mig"], 1e-5),
        Comparison("mi matrix", result["mi"], oracle["mi_matrix_nats"], 1e-5),
        Comparison("entropy", result["factor_entropy"], oracle["entropy_nats"], 1e-7),
        Comparison("per factor", result["per_factor"], oracle["per_factor"], 1e-5),
    ]


def compare_modularity(result: Result, oracle: Any) -> list[Comparison]:
    return [Comparison("modularity", result["modularity"], oracle["modularity_score"], 1e-5)]


def compare_explicitness(result: Result, oracle: Any) -> list[Comparison]:
    return [
        Comparison("test", result["explicitness"], oracle["explicitness_score_test"], 1e-3),
        Comparison("train", result["explicitness_train"], oracle["explicitness_score_train"], 1e-3),
    ]


def compare_sap(result: Result, oracle: Any) -> list[Comparison]:
    rows = [Comparison("sap", result["sap"], oracle["values"]["SAP_discrete"]["mean"], 1e-3)]
    if "score_matrix_discrete" in oracle:
        continuous = oracle["values"]["SAP_continuous"]
        rows += [
            Comparison("matrix", result["score_matrix"], oracle["score_matrix_discrete"], 1e-3),
            Comparison("continuous", result["sap_continuous"], continuous, 1e-5),
        ]
    return rows


def compare_irs(result: Result, oracle: Any) -> list[Comparison]:
    rows = [Comparison("irs", result["irs"], oracle["values"]["IRS"], 1e-5)]
    if len(oracle.get("irs_matrix", ())) == len(result["irs_matrix"]):
        rows.append(Comparison("matrix", result["irs_matrix"], oracle["irs_matrix"], 5e-5))
    return rows


def compare_unsupervised(result: Result, oracle: Any) -> list[Comparison]:
    finite = {name: value for name, value in oracle["values"].items() if value != "nan"}
    return [Comparison(name, result[name], value, 1e-5) for name, value in finite.items()]


def compare_med(result: Result, oracle: Any) -> list[Comparison]:
    values = oracle["values"]
    rows = [
        Comparison("med", result["med"], values["disentanglement"], 1e-5),
        Comparison("completeness", result["completeness"], values["completeness"], 1e-5),
        Comparison("accuracy", result["informativeness"], values["informativeness_test"], 1e-3),
    ]
    for top in ("top1", "top2", "top3"):
        for part in ("disentanglement", "completeness"):
            rows.append(
                Comparison(f"{top} {part}", result[top][part], values[f"{top}_{part}"], 1e-5)
            )
        picked = np.zeros(len(result["per_latent"]))
        picked[values[f"{top}_picked"]] = 1
        ours = np.isin(np.arange(len(picked)), result[top]["latents"])
        rows.append(Comparison(f"{top} latents", ours, picked, 0))
    return rows


def run_rmig(case: str) -> Result:
    n, log_variance = CASES[case]["rmig"]["n_data"], 2 * np.log(made(case).deviations.astype(float))
    codes, factors, *_ = made(case).first(n, 1)
    return metrics.rmig(codes, np.broadcast_to(log_variance, codes.shape), factors, 0)


def compare_rmig(result: Result, oracle: Any) -> list[Comparison]:
    values = oracle["values"]
    return [
        Comparison("rmig", result["rmig"], values["RMIG_norm"]["values"][0], 2e-6),
        Comparison("rmig, nats", result["rmig_nats"], values["RMIG_mean"]["values"][0], 2e-6),
        Comparison("jemmig, nats", result["jemmig"], values["JEMMIG_mean"]["values"][0], 2e-6),
    ]


def run_factor_vae(case: str) -> Result:
    return metrics.factor_vae(grid_codes(case), GRID, 0)


def compare_factor_vae(result: Result, oracle: Any) -> list[Comparison]:
    published = oracle["threshold_0.05"]
    rows = [
        Comparison(name, result[ours], published["values"][name]["values"][0], 1e-9)
        for ours, name in (("factor_vae", "eval_accuracy"), ("train_accuracy", "train_accuracy"))
    ]
    for part in ("train", "eval"):
        if f"votes_{part}_seed0" in published:
            ours = result["votes_train" if part == "train" else "votes_test"]
            expected = np.array(published[f"votes_{part}_seed0"]).T
            active = np.flatnonzero(result["active"])  # the oracle counts active latents only
            rows += [
                Comparison(f"votes {part}", ours[active], expected[: len(active)], 0),
                Comparison(f"votes {part}, of dead latents", expected[len(active) :].sum(), 0, 0),
            ]
    return rows


def run_beta_vae(case: str) -> Result:
    return metrics.beta_vae(grid_codes(case), GRID, 0)


def compare_beta_vae(result: Result, oracle: Any) -> list[Comparison]:
    return [
        Comparison(name, result[ours], oracle["values"][name]["values"][0], 1e-3)
        for ours, name in (("beta_vae", "eval_accuracy"), ("train_accuracy", "train_accuracy"))
    ]


def compare_dci(result: Result, oracle: Any) -> list[Comparison]:
    values = oracle["values"]
    pairs = {
        "disentanglement": "disentanglement",
        "completeness": "completeness",
        "informativeness": "informativeness_test",
        "informativeness_train": "informativeness_train",
    }
    return [
        Comparison(ours, result[ours], values[name]["mean"], 5e-3) for ours, name in pairs.items()
    ]


def _codes(function: Callable[..., Result], entry: str) -> Callable[[str], Result]:
    return lambda case: function(*rows_of(case, entry)[:2])


def _split(function: Callable[..., Result], entry: str) -> Callable[[str], Result]:
    return lambda case: function(*rows_of(case, entry))


FAMILIES = {
    "mig": Family("mig", _codes(metrics.mig, "mig"), compare_mig),
    "modularity": Family("modexp", _codes(metrics.modularity, "modexp"), compare_modularity),
    "explicitness": Family("modexp", _split(metrics.explicitness, "modexp"), compare_explicitness),
    "sap": Family("sap", _split(metrics.sap, "sap"), compare_sap),
    "irs": Family("irs", _codes(metrics.irs, "irs"), compare_irs),
    "unsupervised": Family("unsup", _codes(metrics.unsupervised, "unsup"), compare_unsupervised),
    "med": Family("med", _split(metrics.med, "med"), compare_med),
    "rmig": Family("rmig", run_rmig, compare_rmig),
    "factor_vae": Family("factorvae", run_factor_vae, compare_factor_vae),
    "beta_vae": Family("betavae", run_beta_vae, compare_beta_vae),
    "dci": Family("dci", _split(metrics.dci, "dci"), compare_dci),
}


def oracle_of(family: str, case: str) -> Any:
    """The oracle's numbers, None where the reference has none (it fails on constant latents)."""
    entry = CASES[case].get(FAMILIES[family].entry)
    if entry is None or "error" in entry:
        return None
    return entry["values"] if FAMILIES[family].entry == "modexp" else entry


def compare(family: str, case: str) -> list[Comparison]:
    return FAMILIES[family].compare(FAMILIES[family].run(case), oracle_of(family, case))


def report(families: Sequence[str], cases: Sequence[str]) -> str:
    """Markdown: ours, the oracle's, the difference, and CPU seconds of both."""
    lines = [
        "| metric | case | quantity | ours | oracle | difference | allowed | s | oracle's s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for family in families:
        for case in cases:
            oracle = oracle_of(family, case)
            if oracle is None:
                continue
            if family.endswith("_vae"):
                grid_codes(case)  # the encoding is not timed
            made(case)
            start = time.process_time()
            result = FAMILIES[family].run(case)
            seconds = time.process_time() - start
            entry = CASES[case][FAMILIES[family].entry]
            known = entry.get("cpu_s", entry.get("threshold_0.05", {}).get("cpu_s"))
            for row in FAMILIES[family].compare(result, oracle):
                scalar = np.ndim(row.ours) == 0
                pair = [f"{float(x):.6f}" if scalar else "array" for x in (row.ours, row.oracle)]
                bad = " **!**" if row.difference > row.tolerance else ""
                lines.append(
                    f"| {family} | {case} | {row.name} | {pair[0]} | {pair[1]} | "
                    f"{row.difference:.1e}{bad} | {row.tolerance:.0e} | {seconds:.3f} | {known} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dci", action="store_true", help="boosted trees too")
    parser.add_argument("--cases", nargs="*", default=inputs.CASES)
    parser.add_argument("--metrics", nargs="*", default=[f for f in FAMILIES if f != "dci"])
    chosen = parser.parse_args()
    print(report([*chosen.metrics, *(["dci"] if chosen.dci else [])], chosen.cases))
