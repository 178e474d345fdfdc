"""Rows of runs: whose they are, and which tables they serve."""

import json
import shutil

from devae_jax.files import write_json
from devae_jax.runs.sweep import Sweep
from devae_jax.studies import figure, given, make, rows, show, table
from devae_jax.studies.rows import LATE, LOGGED, SHARES
from tests.launch.commands import call

FLAGS = ["--preset=smoke", "--seeds=2"]


def opened(workdir, name, preset="smoke", seeds=2):
    return make.opened(workdir, name, preset, seeds=seeds, fit=False)


def scores_of(member, value, layers=1):
    """As `results.score` writes them, of the cheap metrics that the tests look at."""
    config = json.loads(member.config.to_json_best_effort())
    label = {"member": member.number, "step": member.config.steps, "representation": "mean"}
    label |= {"settings": {key: config[key] for key in ("model", "objective", "steps")}}
    label |= {"seed": member.seed, "method": "devae", "data": {"name": "toy"}}
    return [
        label
        | {"layer": layer, "protocol": "dlib", "metric": metric, "value": value + layer}
        | {"library": "0.2.0"}
        for metric in ("mig", "reconstruction_sampled", "active_units")
        for layer in range(layers)
    ]


def trained(study, number, value=0.5):
    """What training and scoring would leave of a program."""
    folder, members = study.folder(number), study.of_program(number)
    (folder.path / "checkpoints").mkdir(parents=True)
    folder.write_scores([row for m in members for row in scores_of(m, value + m.seed)])
    steps = members[0].config.steps
    log = [
        {"step": step, "member": m.number, "eval/mi": [[[1.0]]]}
        | {name: [step / steps + m.seed + 1 / 3] for name in LOGGED}
        for step in (steps // 4, steps // 2, 3 * steps // 4, steps)
        for m in members
    ]
    text = "".join(json.dumps(row) + "\n" for row in log)
    (folder.path / "metrics.jsonl").write_text(text)
    record = {"state": "done", "seconds": 60.0 * len(members), "device": "1 x cpu"}
    record["trained"] = steps * len(members)
    (study.path / "programs").mkdir(exist_ok=True)
    write_json(study.path / "programs" / f"{number:04d}.json", record)


def test_runs_that_rows_have_are_not_trained_by_another_table(figure2, tmp_path, began):
    study = opened(tmp_path / "b", "same_reconstruction")
    known = given.read([str(figure2)])
    assert make.make(study, given=known) == {} and began == ["beta_vae,all"]
    held = [json.loads(line) for line in (study.path / "rows.jsonl").read_text().splitlines()]
    assert {(r["table"], r["line"], r["study"]) for r in held} == {
        ("same_reconstruction", "DeVAE", "figure2")
    }
    mig = [row for row in held if row["column"] == "MIG"]
    assert [(row["seed"], row["value"], row["seconds"]) for row in mig] == [
        (0, 0.5, 60.0),
        (1, 1.5, 60.0),
    ]
    # The file of rows may be gone: the folder has them.
    figure2.unlink()
    again = given.read([], study.path)
    assert len(given.left(study, again, range(2))) == 1
    text = show.markdown(study, rows.collect(study, again))
    assert "| DeVAE | 2 | 1.00 ± 0.71 (-5.35 to 7.35) |" in text
    assert "2 runs for figure2 on 1 x cpu by devae_jax 0.2.0: 2.0 minutes, 1.0 a run" in text
    assert "Missing, 14 of 16 runs:\n- seeds 0, 1: β-VAE, β = 1; β-VAE, β = 2; " in text


def test_what_a_folder_trained_counts_before_what_was_given(figure2, tmp_path):
    study = opened(tmp_path / "b", "same_reconstruction")
    trained(study, 1, value=7.0)
    found = rows.collect(study, given.read([str(figure2)]))
    assert {row["study"] for row in found.rows} == {"same_reconstruction"}


def test_rows_without_a_score_or_a_logged_one_of_the_table_do_not_serve(figure2, tmp_path):
    whole = [json.loads(line) for line in figure2.read_text().splitlines()]

    def to_train(name, lost, number):
        figure2.write_text(rows.lines(row for row in whole if not lost(row)))
        study = opened(tmp_path, name)
        return number in given.left(study, given.read([str(figure2)]), [number])

    for lost, trained_again in (
        (lambda row: row["metric"] == "eval/mig" and row["at"] == 0.5, True),
        (lambda row: row["metric"] == "eval/mig" and row["at"] == 0.125, False),
        (lambda row: row["metric"] == "mig", False),
    ):
        assert to_train("figure4", lost, 0) == trained_again
    assert to_train("same_reconstruction", lambda row: row["metric"] == "mig", 1)
    assert not to_train("same_reconstruction", lambda row: row["metric"] == "active_units", 1)


def test_a_member_that_is_half_scored_is_scored_again(tmp_path):
    """A process may die between cheap metrics and the others."""
    study = opened(tmp_path, "same_reconstruction", seeds=1)
    trained(study, 1)
    assert rows.whole(study, 1) and len(rows.collect(study).missing) == 7
    kept = [row for row in study.folder(1).scores() if row["metric"] != "reconstruction_sampled"]
    study.folder(1).write_scores(kept)
    assert not rows.whole(study, 1) and len(rows.collect(study).missing) == 8
    assert not make.Programs(study, print).has_results(1)
    assert Sweep(study.path, study.programs).has_results(1)
    # A score that the preset does not measure is not waited for, nor a layer that is not there.
    figure2 = opened(tmp_path / "b", "figure2")
    trained(figure2, 0)
    assert rows.whole(figure2, 0) and "factor_vae" in {c.score for c in figure2.table.columns}
    objectives = opened(tmp_path / "c", "objectives")
    trained(objectives, 0)
    assert not rows.whole(objectives, 0)  # without KL


def test_a_folder_that_is_deleted_while_rows_are_read_is_named(tmp_path, monkeypatch):
    study = opened(tmp_path, "figure2")
    for number in (0, 1):
        trained(study, number)
    read = rows.lenient_metrics

    def gone(folder, damaged):
        if folder.name == "beta_vae,all":
            shutil.rmtree(folder.path)
            (folder.path / "metrics.jsonl").read_text()
        return read(folder, damaged)

    monkeypatch.setattr(rows, "lenient_metrics", gone)
    found = rows.collect(study)
    assert {row["program"] for row in found.rows} == {"beta_tcvae-paper,all"}
    [text] = found.damaged
    assert "No such file" in text and "beta_vae,all" in text
    assert "beta_vae,all" in show.markdown(study, found)


def test_runs_of_another_config_are_named_and_not_taken(tmp_path, capsys):
    """What a folder holds was planned by an earlier table or version, with other numbers."""
    study = opened(tmp_path, "figure2")
    trained(study, 0)
    whole = rows.collect(study)
    assert {row["seed"] for row in whole.rows} == {0, 1} and not whole.damaged
    scores = study.folder(0).scores()
    for row in scores:
        if row["seed"] == 1:
            row["settings"]["objective"]["terms"]["kl"]["betas"] = [7.0]
            del row["settings"]["objective"]["reconstruction_weight"]  # came later, at 1
    study.folder(0).write_scores(scores)
    found = rows.collect(study)
    assert {row["seed"] for row in found.rows} == {0}
    assert len(found.missing) == len(whole.missing) + 1
    [text] = found.damaged
    assert "seed 1: trained with another config (objective.terms.kl.betas: [7.0] -> [6.0])" in text


def test_a_program_is_left_where_one_member_is_missing(figure2, tmp_path):
    known = given.read([str(figure2)])
    assert given.left(opened(tmp_path, "figure4", seeds=3), known, range(2)) == [0, 1]
    # Pictures cannot be made from rows.
    assert given.left(opened(tmp_path, "figure3", seeds=1), known, range(4)) == [0, 1, 2, 3]


def test_rows_of_another_version_are_said(figure2, tmp_path):
    text = figure2.read_text().replace('"version": "0.2.0"', '"version": "0.1.9"')
    figure2.write_text(text)
    study = opened(tmp_path, "figure4")
    assert "by devae_jax 0.1.9" in show.markdown(
        study, rows.collect(study, given.read([str(figure2)]))
    )


def test_a_table_is_printed_from_rows_alone(figure2, tmp_path):
    """And with its figure; nothing is written but that."""
    at = [f"--workdir={tmp_path / 'none'}", f"--rows={figure2}", *FLAGS]
    picture = tmp_path / "f.png"
    printed = call("reproduce", "figure4", "--print", f"--figure={picture}", *at)
    assert "| setting | seeds | diffusion, 25% of training |" in printed
    assert "| DynamicVAE | 2 | 1.08 ± 0.71 (-5.27 to 7.44) |" in printed
    assert "Missing" not in printed and picture.read_bytes()[1:4] == b"PNG"
    planned = call("reproduce", "figure4", "--plan", *at)
    assert "devae,all: 20 steps, in the given rows" in planned
    assert not (tmp_path / "none").exists()
    assert "ends in .png" in call("reproduce", "figure4", "--figure=a.pdf", *at, code=2)


def test_seeds_are_the_outer_rounds(tmp_path, began):
    """Programs keep names and numbers, by which a folder of before goes on."""
    study = opened(tmp_path, "figure2", "cpu", seeds=2)
    names = [program.name for program in study.programs]
    assert names[:3] == [
        "beta_vae,all,part=0",
        "beta_vae,all,part=1",
        "beta_tcvae-paper,all,part=0",
    ]
    make.make(study)
    assert len(began) == 16
    assert [name[-6:] for name in began] == ["part=0"] * 8 + ["part=1"] * 8
    assert began[:8] == names[::2]


def test_what_training_logged_is_kept_at_eighths(tmp_path):
    """Of evaluations at 5, 10, 15 and 20 the nearest to 2.5, 5, ... 20; of two alike the later."""
    study = opened(tmp_path, "figure2", seeds=1)
    trained(study, 3)
    found = [row for row in rows.collect(study).rows if row["at"] is not None]
    mig = [row for row in found if row["metric"] == "eval/mig"]
    assert [row["at"] for row in mig] == list(SHARES)
    assert [row["step"] for row in mig] == [5, 5, 10, 10, 15, 15, 20, 20]
    assert mig[0]["value"] == 0.583333
    assert {row["metric"] for row in found} == {*LOGGED, "eval/mi"}
    assert rows._logged([{"step": 9, "x": [1.0]}], "x", 1.0, 10)[0]["value"] is None


def test_figures_show_every_run(figure2, tmp_path):
    study = opened(tmp_path, "figure4")
    found = rows.collect(study, given.read([str(figure2)])).rows
    drawn = figure.over_training(study, found)
    titles = [axis.get_title(loc="left") for axis in drawn.axes]
    assert titles == ["Information diffusion", "MIG"]
    for axis in drawn.axes:
        lines = axis.get_lines()
        assert len(lines) == 4 and len({line.get_color() for line in lines}) == 2
        assert list(lines[0].get_xdata()) == [5, 10, 15, 20]
    study = opened(tmp_path, "figure2")
    found = rows.collect(study, given.read([str(figure2)])).rows
    panels = figure.strips(study, found).axes
    titles = [axis.get_title(loc="left") for axis in panels]
    assert titles[:4:3] == ["MIG, dSprites", "Reconstruction (nats), Shapes3D"]
    lines = panels[0].get_lines()
    dots = [list(line.get_xdata()) for line in lines if line.get_marker() == "o"]
    assert dots == [[], [], [0.5, 1.5], [0.5, 1.5]]
    assert panels[0].get_xlim() == panels[1].get_xlim()  # the data sets on one scale
    study = opened(tmp_path, "same_reconstruction")
    found = rows.collect(study, given.read([str(figure2)])).rows
    assert len(figure.against(study, found).axes[0].get_lines()) >= 1
    assert not figure.write(tmp_path / "none.png", study, [])
    assert not (tmp_path / "none.png").exists()


def test_rows_that_another_adds_meanwhile_stay(tmp_path, monkeypatch):
    """One that looked before and writes after would lose them: both are one, under a lock."""
    study, collect, write, held = opened(tmp_path, "figure2"), rows.collect, rows.write, []

    def looked(*arguments):
        held.append((study.path / ".sweep.lock").exists())
        return collect(*arguments)

    def written(*arguments):
        held.append("written" if held[-1] else "written without a lock")
        write(*arguments)

    trained(study, 2)
    monkeypatch.setattr(make, "drain", lambda *_, **__: {})
    monkeypatch.setattr(rows, "collect", looked)
    monkeypatch.setattr(rows, "write", written)
    make.make(study)
    assert held.count("written") == 2 and "written without a lock" not in held
    assert not (study.path / ".sweep.lock").exists()


def test_every_line_of_rows_has_the_same_flat_columns(figure2, tmp_path):
    """Also beside rows of before, which lack some; so that one call reads them as a table."""
    before = [json.loads(line) for line in figure2.read_text().splitlines()]
    figure2.write_text(rows.lines({k: v for k, v in r.items() if k not in LATE} for r in before))
    study = opened(tmp_path, "figure4")
    trained(study, 0)
    found = rows.collect(study, given.read([str(figure2)])).rows
    assert {row["source"] for row in found} == {None, str(figure2)}
    rows.write(study, found)
    lines = (study.path / "rows.jsonl").read_text().splitlines()
    read = [json.loads(line) for line in lines]
    columns = {tuple(sorted(row)) for row in read if row["metric"] != "eval/mi"}
    assert len(lines) == len(found) and len(columns) == 1
    for row in read:
        matrix = ("mi", "latents", "factors") if row["metric"] == "eval/mi" else ()
        flat = {key: value for key, value in row.items() if key not in ("changes", *matrix)}
        assert all(isinstance(v, str | int | float | None) for v in flat.values()), flat


def test_mig_at_the_same_reconstruction_is_said_below_the_table(tmp_path):
    """β = 1 and 2 have (error, MIG) of (10, .1) and (20, .5); DeVAE (15, .9) beats the second."""
    read = table.load("same_reconstruction").read
    wanted = {"β-VAE, β = 1": (10.0, 0.1), "β-VAE, β = 2": (20.0, 0.5), "DeVAE": (15.0, 0.9)}
    held = [
        {"line": line, "seed": 0, "column": column, "value": value}
        for line, (error, mig) in wanted.items()
        for column, value in (("reconstruction", error), ("MIG", mig), (None, 7.0))
    ]
    same, front = read(held)
    assert "15.00, β-VAE has a MIG of 0.30" in same
    assert front.endswith("by rising error: β-VAE, β = 1 (1); DeVAE (1)")
    assert "no two β" in read([row for row in held if row["line"] != "β-VAE, β = 2"])[0]
    assert read(held[:3]) == () and read([]) == ()
