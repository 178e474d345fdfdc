"""What a study's table and figure say of its runs: their time, why some lack, floor and ceiling."""

import pytest

from devae_jax.runs.sweep import Record, Sweep
from devae_jax.studies import figure, make, rows, show, shown
from devae_jax.viz.style import MUTED
from tests.studies.test_rows import opened, trained


def test_time_that_killed_processes_took_is_said_to_lack(tmp_path):
    study = opened(tmp_path, "figure2")
    trained(study, 0)
    sweep = Sweep(study.path, study.programs)
    whole = sweep.record(0)

    def said(**changes):
        sweep.write(0, whole._replace(**changes))
        return show.made(rows.collect(study).rows)[0].partition("0.2.0")[2]

    assert said() == ": 2.0 minutes, 1.0 a run"
    assert said(trained=whole.trained - 2) == ": at least 2.0 minutes, 1.0 a run"
    assert said(trained=whole.trained + 2) == ": 2.0 minutes, 1.0 a run"  # some steps twice
    assert said(trained=0) == ""  # no time is known
    trained(study, 1)
    assert said(trained=0) == ": at least 2.0 minutes, 1.0 a run"
    assert said() == ": 4.0 minutes, 1.0 a run"
    old = [row | {} for row in rows.collect(study).rows]
    for row in old:
        del row["untimed"]  # which rows did not say before
    assert show.made(old)[0].endswith(": 4.0 minutes, 1.0 a run")
    timed = [row | {"seconds": row["seconds"] if row["seed"] else None} for row in old]
    assert show.made(timed)[0].partition("0.2.0")[2].startswith(": at least 2.0 minutes")


def test_missing_runs_are_named_with_the_reason(tmp_path):
    study = opened(tmp_path, "figure2")
    sweep = Sweep(study.path, study.programs)
    trained(study, 0)
    study.folder(0).write_scores([r for r in study.folder(0).scores() if r["member"] == 0])
    study.folder(0).note(study.programs[0].config.steps, "diverged", 1)
    sweep.write(1, Record("failed", "every loss is NaN", diverged=True))
    sweep.write(2, Record("failed", "no room | at all"))
    sweep.write(4, Record("refused", "got a config that does not fit"))
    with sweep.taken(3):
        found = rows.collect(study)
    printed = show.markdown(study, found)
    assert printed.partition("Missing, 15 of 16 runs:\n")[2].splitlines() == [
        "- seed 1: dSprites: β-VAE (β = 6) (diverged)",
        "- seeds 0, 1: dSprites: β-TCVAE (β = 12) (diverged)",
        "- seeds 0, 1: dSprites: DynamicVAE (failed: no room \\| at all)",
        "- seeds 0, 1: dSprites: DeVAE (is being trained)",
        "- seeds 0, 1: Shapes3D: β-VAE (β = 6) (refused: got a config that does not fit)",
        "- seeds 0, 1: Shapes3D: β-TCVAE (β = 12); Shapes3D: DynamicVAE; Shapes3D: DeVAE",
    ]
    make._write_study(study)
    known, _ = shown.known([study.path])
    assert f"{study.path.name}, not finished, {show.absent(found.missing)[0]}" in known.missing


def test_floors_and_ceilings_are_kept_and_drawn_where_they_are_known(tmp_path):
    study = opened(tmp_path, "figure2")
    for number in (2, 3, 7):
        trained(study, number)

    def drawn(*floors):
        """Of DeVAE's two runs on dSprites: the vertical lines of both MIG panels."""
        scores = study.folder(3).scores()
        for row in scores:
            if row["metric"] == "mig":
                row |= {"floor": floors[row["member"]], "ceiling": 0.9}
        study.folder(3).write_scores(scores)
        found = rows.collect(study).rows
        known = {row["seed"]: row["floor"] for row in found if row["ceiling"] == 0.9}
        assert known == dict(enumerate(floors))
        panels = figure.strips(study, found).axes[:2]
        return [
            [line.get_xdata()[0] for line in axis.get_lines() if line.get_color() == MUTED]
            for axis in panels
        ]

    assert drawn(0.02, None) == [[0.02, 0.9], []]
    assert drawn(0.02, 0.022) == [[pytest.approx(0.021), 0.9], []]
    assert drawn(0.02, 0.3) == [[0.9], []]  # of other numbers of latents: no line is right
    assert drawn("x", None) == [[0.9], []]
