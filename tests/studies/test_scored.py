"""Statistics of scored runs of no table: a sweep of one's own, as its page calls its settings."""

import re

import numpy as np
from scipy import stats

from devae_jax.configs import beta_vae
from devae_jax.program import keys
from devae_jax.runs import results, study, sweep
from devae_jax.runs.study import Known
from devae_jax.studies import analysis, given, make, rows, scored
from tests.launch.commands import call
from tests.studies.test_own import WHOLE, written
from tests.studies.test_rows import opened, trained

AXES = (
    ("objective.terms.kl.betas", ((1.0,), (4.0,))),
    ("model.latent_dim", (2, 4)),
    ("seed", (0, 1, 2)),
)


def mig(beta, dim, seed):
    return beta / 10 + dim / 100 + seed**2 / 1000


def swept(path, skip=()):
    """What training and scoring leave of a sweep, without those of some (β, latents, seed)."""
    found = sweep.opened(path, beta_vae.get_config("toy"), AXES, say=lambda _: None)
    for number, program in enumerate(found.programs):
        scores = []
        for member, numbers in enumerate(program.members):
            config = keys.laid_over(program.config, numbers)
            of = (config.objective.terms.kl.betas[0], config.model.latent_dim, config.seed)
            about = {"member": member, "step": config.steps, "seed": config.seed, "layer": 0}
            about |= {"method": "beta_vae", "settings": results.settings(config)}
            about |= {"data": {"name": "toy"}, "representation": "mean", "protocol": "dlib"}
            values = {"mig": mig(*of), "reconstruction_sampled": 20 * of[0] - of[2], "irs": None}
            values |= {"active_units": float(of[1])}
            if of not in skip:
                scores += [about | {"metric": n, "value": v} for n, v in values.items()]
        folder = found.folder(number)
        folder.path.mkdir(parents=True)
        (folder.path / "config.json").write_text(program.config.to_json_best_effort())
        folder.write_scores(scores)
    return [found.folder(number).path for number in range(len(found.programs))]


def label(beta, dim):
    return f"beta_vae, latent_dim={dim}, betas=[{beta}]"


def test_a_sweep_is_a_table_of_its_settings(tmp_path):
    folders = swept(tmp_path / "s")
    table, found, missing = scored.as_table(folders, Known(), title="Mine")
    members, _ = study.read(folders, tmp_path)
    assert [line.label for line in table.lines] == list(
        dict.fromkeys(f"toy: {m.label}" for m in members)
    )
    assert {line.label for line in table.lines} == {
        f"toy: {label(beta, dim)}" for beta in (1.0, 4.0) for dim in (2, 4)
    }
    changes = {"model.latent_dim": 2, "objective.terms.kl.betas": [1.0]}
    assert dict(table.lines[0].changes) == changes and not missing
    assert [column.score for column in table.columns] == ["mig", "reconstruction_sampled"]
    runs, scores = analysis.aligned(found)
    assert len(runs) == 12 and set(scores) == {"mig", "reconstruction_sampled", "active_units"}
    lines = analysis.by_line(runs, scores["mig"])
    assert lines[f"toy: {label(4.0, 2)}"] == {seed: mig(4, 2, seed) for seed in range(3)}


def test_the_command_prints_every_statistic_of_a_sweep(tmp_path):
    swept(tmp_path / "s")
    printed = call("results", "statistics", f"--runs={tmp_path}/s/*")
    assert printed.startswith(f"## Runs in {tmp_path}/s/*: statistics\n\n### toy\n")
    assert f"| {label(1.0, 2)} | mig | 3 | 0.122 ± 0.0021 |" in printed
    assert printed.count("| mig | beta_vae, ") == 6  # pairs of four lines
    runs = [(b, d, s) for d in (2, 4) for b in (1.0, 4.0) for s in range(3)]
    ranks = stats.spearmanr([mig(*of) for of in runs], [20 * b - s for b, _, s in runs]).statistic
    assert f"| reconstruction_sampled | {ranks:.2f} | 1.00 |" in printed
    front = printed[printed.index("Runs that no other") :].split("\n\n")[1]
    assert front.splitlines()[2].startswith(f"| {label(1.0, 4)} | 2 | 0.144 | 18.00 |")
    values = np.array([mig(*of) for of in runs])
    for key, at in (("objective.terms.kl.betas", 0), ("model.latent_dim", 1)):
        means = [np.mean([mig(*of) for of in runs if of[at] == own[at]]) for own in runs]
        assert f"| {key} of beta_vae | mig | {np.var(means) / values.var():.2f} |" in printed
    # The sweep's own folder is its programs; one line, other scores.
    whole = call("results", "statistics", f"--runs={tmp_path}/s")
    assert whole.partition("\n")[2] == printed.partition("\n")[2]
    flags = [f"--against={label(1.0, 2)}", "--metrics=active_units,mig", "--test=wilcoxon"]
    one = call("results", "statistics", f"--runs={tmp_path}/s", *flags)
    assert one.count("| mig | beta_vae, ") == 3 and "| active_units | 3 | 2 ± 0 |" in one
    assert f"| {label(4.0, 2)} | reconstruction" not in one
    assert f"| {label(4.0, 2)} | 3 |" in call("report", f"--runs={tmp_path}/s")  # called alike


def test_what_is_left_out_is_said(tmp_path):
    folders = swept(tmp_path / "s", skip=[(4.0, 2, 1)])
    again = swept(tmp_path / "again")[:1]
    lines = (folders[1] / "scores.json").read_text()
    config = (folders[1] / "config.json").read_text()
    (folders[1] / "config.json").write_text(re.sub(r'"steps": \d+', '"steps": 999', config))
    _, found, missing = scored.as_table([*folders, *again], Known())
    runs, _ = analysis.aligned(found)
    assert len(runs) == 6 and "again" not in lines
    assert "latent_dim=4, member 0 left out: at step 300 of 999" in missing
    twins = [text for text in missing if "left out: the same setting and seed as" in text]
    assert len(twins) == 5 and all(text.startswith("latent_dim=2, member") for text in twins)


def test_bad_input(tmp_path):
    folders = swept(tmp_path / "s")
    (tmp_path / "rows.jsonl").write_text("")
    runs = f"--runs={tmp_path}/s"
    for flags, told in (
        ([f"--runs={tmp_path}/none"], "got no run that is trained and scored (none at all)"),
        ([runs, "--metrics=migg"], "did you mean 'mig'"),
        ([runs, "--against=beta_vae"], "got line='beta_vae', expected one of toy: beta_vae, "),
        ([runs, "--rows=a"], "got --runs with --rows or --tables"),
        ([f"--rows={tmp_path}/rows.jsonl", "--metrics=mig"], "got --metrics with --rows"),
    ):
        assert told in call("results", "statistics", *flags, code=2)
    for folder in folders:
        (folder / "scores.json").unlink()
    refused = call("results", "statistics", runs, code=2).splitlines()[-1]
    assert "(latent_dim=2 left out: at step 0 of 300, not scored; " in refused


def test_runs_of_a_study_have_the_names_of_their_table(tmp_path):
    """And those that it was given as rows are among them."""
    other = opened(tmp_path / "figure2", "figure2")
    trained(other, 3)
    rows.write(other, rows.collect(other).rows)
    figure4 = opened(tmp_path / "figure4", "figure4")
    make._write_study(figure4)
    trained(figure4, 0)
    folder, config = figure4.folder(0), figure4.programs[0].config
    (folder.path / "config.json").write_text(config.to_json_best_effort())
    about = {"method": "dynamic_vae", "data": {"name": "toy"}}
    folder.write_scores([row | about for row in folder.scores()])
    served = rows.collect(figure4, given.read([str(other.path / "rows.jsonl")])).rows
    rows.write(figure4, served)
    printed = call("results", "statistics", f"--runs={tmp_path}/figure4")
    assert "| DynamicVAE | mig | 2 | 1 ± 0.71 |" in printed and "| DeVAE | mig | 2 |" in printed
    assert "### toy" not in printed and "| mig | DynamicVAE | DeVAE | 2 |" in printed


def test_rows_of_a_table_of_ones_own(tmp_path, monkeypatch):
    file = written(tmp_path / "mine.py")
    mine = make.opened(tmp_path / "w", str(file), "cpu", seeds=2, fit=False)
    for number in (0, 1):
        trained(mine, number)
    rows.write(mine, rows.collect(mine).rows)
    # Nothing that lies about is taken for the rows that are given.
    monkeypatch.chdir(tmp_path)
    beside = opened(tmp_path / "runs" / "mine", str(file), "cpu")
    trained(beside, 0, value=9.0)
    text = written(tmp_path / "other.py", WHOLE.replace("Mine", "Other").replace("0.002", "0.003"))
    held = f"--rows={mine.path / 'rows.jsonl'}"
    refused = call("results", "statistics", held, code=2)
    assert f"got rows of 4 runs for {file} at cpu, expected runs of a table" in refused
    with_other = call("results", "statistics", held, f"--tables={text}")
    assert f"rows of 2 runs for {file} at cpu match no run of these tables" in with_other
    assert "| a | MIG | 2 |" in with_other and "| b | MIG |" not in with_other
    printed = call("results", "statistics", held, "--tables=mine.py", "--against=a")
    assert printed.startswith("## Mine: statistics, preset `cpu`") and "match no run" not in printed
    assert "| a | MIG | 2 | 1 ± 0.71 |" in printed and "| MIG | a | b | 2 | 0 |" in printed
