"""Statistics of a study's rows, as arrays and as the text that the command prints."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from devae_jax.studies import analysis, make, rows
from devae_jax.studies.table import Column, Line
from tests.launch.commands import call

MIG = {"β-VAE (β = 6)": (0.1, 0.2, 0.15), "DeVAE": (0.4, 0.5, 0.3), "DynamicVAE": (0.2,)}
ERROR = {"β-VAE (β = 6)": (20.0, 19.0, 21.0), "DeVAE": (22.0, 30.0, 25.0), "DynamicVAE": (23.0,)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make.opened(tmp_path_factory.mktemp("a"), "figure2", "smoke", seeds=3, fit=False)


@pytest.fixture(scope="module")
def found(study):
    """Rows of figure 2's first data set, as a study leaves them."""
    about = {"low": None, "high": None, "study": "figure2", "program": "p", "member": 0}
    about |= {"seconds": 1.0, "device": "1 x cpu", "version": "1", "preset": "smoke"}
    every = []
    for member in study.members:
        _, name = member.line.label.split(": ")
        if not member.line.label.startswith("dSprites") or member.seed >= len(MIG.get(name, ())):
            continue
        whose = {"line": member.line.label, "seed": member.seed, "setting": member.setting}
        for metric, column, value in (
            ("mig", "MIG", MIG[name][member.seed]),
            ("reconstruction_sampled", "reconstruction", ERROR[name][member.seed]),
            ("active_units", None, 4.0),
        ):
            row = {"metric": metric, "column": column, "value": value, "protocol": "dlib"}
            every.append(about | whose | row | {"layer": 0, "at": None, "step": 20})
        logged = {"metric": "eval/mig", "column": None, "value": 9.0, "protocol": "training"}
        every.append(about | whose | logged | {"layer": 0, "at": 0.5, "step": 10})
    return every


def test_rows_as_arrays(found):
    lone = found[0] | {"seed": 7, "metric": "kl", "value": 3.0}
    runs, scores = analysis.aligned([*found, lone, found[0] | {"layer": 1, "value": 8.0}])
    assert runs[0] == ("dSprites: β-VAE (β = 6)", 0) and runs[-1] == (runs[0][0], 7)
    assert set(scores) == {"mig", "reconstruction_sampled", "active_units", "kl"}
    np.testing.assert_array_equal(scores["mig"][:3], MIG["β-VAE (β = 6)"])
    assert np.isnan(scores["mig"][-1]) and np.isnan(scores["kl"][:-1]).all()
    lines = analysis.by_line(runs, scores["mig"])
    assert lines["dSprites: DeVAE"] == dict(enumerate(MIG["DeVAE"]))
    assert 7 not in lines["dSprites: β-VAE (β = 6)"]


def test_the_text_has_every_statistic(study, found):
    text = analysis.markdown(study.table, found)
    assert "### dSprites" in text and "### Shapes3D" not in text  # which has no runs
    assert "| β-VAE (β = 6) | MIG | 3 | 0.15 ± 0.05 | 0.0258 to 0.274 | 0.15 | 0.125 to" in text
    p = stats.ttest_rel(MIG["β-VAE (β = 6)"], MIG["DeVAE"]).pvalue
    line = "| MIG | β-VAE (β = 6) | DeVAE | 3 | -0.25 |"
    # Pairs with DynamicVAE share one seed: two of MIG, two of the error. One pair is left of each.
    assert re.search(re.escape(line) + rf" .* \| {p:.3f} \| {p:.3f} \|", text)
    assert "Left out: 4 pairs that share fewer than two seeds." in text
    gains, costs = ([v for values in d.values() for v in values] for d in (MIG, ERROR))
    ranks = stats.spearmanr(gains, costs).statistic
    assert f"| reconstruction_sampled | {ranks:.2f} | 1.00 |" in text
    front = text[text.index("Runs that no other") :].split("\n\n")[1]
    seeds = [line.split(" | ")[:2] for line in front.splitlines()[2:]]
    assert [each[1] for each in seeds] == ["1", "0", "1"]
    assert "| DeVAE | 0 | 0.400 | 22.00 |" in front
    assert "| setting | MIG | 0.8" in text[text.index("Sensitivity") :]


def test_runs_of_several_versions_are_said(study, found):
    assert "versions" not in analysis.markdown(study.table, found)
    mixed = [row | {"version": "0.1.9\x1b" if row["seed"] else None} for row in found]
    printed = analysis.markdown(study.table, mixed)
    assert "Members are of different library versions, compare with care: 0.1.9? (" in printed
    assert "not recorded (" in printed


def test_lines_are_tested_against_one_alone(study, found):
    third = [r | {"line": "dSprites: DynamicVAE"} for r in found if "DeVAE" in r["line"]]
    every = [r for r in found if "Dynamic" not in r["line"]] + third
    whole, one = (analysis.markdown(study.table, every, against=name) for name in (None, "DeVAE"))
    pair = "| MIG | β-VAE (β = 6) | DynamicVAE | 3 |"
    assert pair in whole and pair not in one and "| MIG | DynamicVAE | DeVAE | 3 | 0 |" in one
    with pytest.raises(ValueError, match="did you mean 'DeVAE'"):
        analysis.markdown(study.table, every, against="DeVEA")
    with pytest.raises(ValueError, match="did you mean 'wilcoxon'"):
        analysis.markdown(study.table, every, test="wilcox")
    assert "0.250 |" in analysis.markdown(study.table, every, test="wilcoxon")  # 2 / 2^3


def test_keys_that_lines_of_one_config_differ_in_are_axes():
    betas = [Line(f"β = {b}", "beta_vae:", {"beta": (b,)}) for b in (1, 2)]
    lines = [*betas, Line("DeVAE", "devae")]
    values = {"β = 1": (0.0, 2.0), "β = 2": (2.0, 4.0), "DeVAE": (2.0, 2.0)}
    mine = [
        {"line": line, "column": "MIG", "seed": seed, "value": value}
        for line, each in values.items()
        for seed, value in enumerate(each)
    ]
    text = "\n".join(analysis.sensitivity([Column("MIG", "mig")], lines, mine))
    assert "| beta of beta_vae | MIG | 0.50 | (1,): 1 ± 1.4; (2,): 3 ± 1.4 |" in text
    assert "| setting | MIG | 0.50 | β = 1: 1 ± 1.4; β = 2: 3 ± 1.4; DeVAE: 2 ± 0 |" in text
    # Where all lines are of one config, the key says what the setting says.
    assert "beta of" not in "\n".join(analysis.sensitivity([Column("MIG", "mig")], betas, mine))


def test_the_command_prints_them_of_files_of_rows(found, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(rows.lines(found) + "{\n")
    printed = call("results", "statistics", f"--rows={file}", "--tables=figure2", "--against=DeVAE")
    assert printed.startswith("## Figure 2") and "| MIG | β-VAE (β = 6) | DeVAE | 3 |" in printed
    assert "match no run" not in printed  # also of the third seed, of which the preset has two
    assert f"rows.jsonl: row {len(found) + 1} skipped, it is no JSON" in printed
    wrong = call("results", "statistics", f"--rows={file}", "--tables=table1", code=2)
    assert "got table='table1'" in wrong
    file.write_text(json.dumps({}) + "\n")
    told = call("results", "statistics", f"--rows={file}", code=2)
    assert "row 1 skipped" in told and "got no rows, expected runs of a table" in told
