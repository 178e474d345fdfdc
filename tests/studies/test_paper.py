"""The paper's tables: planned at every size, made, gone on with, printed from what is there."""

import json
from types import SimpleNamespace

import pytest

from devae_jax.objectives.known_codes import total_correlation
from devae_jax.program import specs
from devae_jax.program.plan import plan
from devae_jax.studies import make, rows, show, table
from tests.launch.commands import call, start

TABLES = table.names()
BOTH = ("dSprites", "Shapes3D")


def test_the_paper_has_its_tables():
    figures, tables = (f"figure{i}" for i in (2, 3, 4, 5)), (f"table{i}" for i in (1, 2, 3, 4))
    assert sorted([*figures, *tables, "methods", "objectives", "same_reconstruction"]) == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_every_size_plans(name, tmp_path):
    """Each line has a valid config, and each member the numbers of its line and its own seed."""
    about = table.load(name)
    assert set(about.presets) == {"paper", "gpu", "cpu", "smoke"}
    for preset, size in about.presets.items():
        assert size.cut or preset in ("paper", "gpu"), preset
        study = make.opened(tmp_path / "none", name, preset, seeds=1, fit=False)
        assert [member.line for member in study.members] == list(about.lines)
        names = [program.name for program in study.programs]
        assert len(set(names)) == len(names) and not any("/" in name for name in names)
        for program in study.programs:  # fits together without its members, as it is trained
            specs.read(program.config)
        for member in study.members:
            for key, value in member.line.changes.items():
                found = member.config
                for part in key.split("."):
                    found = found[part]
                assert found == value or list(found) == list(value)
    for line in about.lines:
        assert set(line.published) <= {column.label for column in about.columns}
    assert not (tmp_path / "none").exists()


def test_figure_2_has_what_table_3_publishes_of_its_setting(tmp_path):
    """DeVAE's lines alone, and the very runs: a digest says so."""
    studies = [make.opened(tmp_path, name, "paper", fit=False) for name in ("figure2", "table3")]
    ours, theirs = ({m.setting: m.line for m in study.members} for study in studies)
    both = ours.keys() & theirs.keys()
    assert len(both) == 20 and all(ours[s].published == theirs[s].published for s in both)
    published = {line.label: line.published for line in studies[0].table.lines if line.published}
    assert published.keys() == {"dSprites: DeVAE", "Shapes3D: DeVAE"}
    assert published["dSprites: DeVAE"]["MIG"] == table.Published(0.35, 0.02)
    assert published["Shapes3D: DeVAE"]["reconstruction"] == table.Published(43.24, 11.41)


def test_figure_2_says_how_far_devae_is_ahead(tmp_path):
    """Means of .54 against .5 and .6, of other trees; runs of Shapes3D and no value count not."""
    read, label = table.load("figure2").read, "DCI disentanglement (hist_boosted)"
    values = {
        "dSprites: DeVAE": [0.53, 0.55],
        "dSprites: β-TCVAE (β = 12)": [0.5, None],
        "dSprites: β-VAE (β = 6)": [0.6],
        "Shapes3D: DeVAE": [9.0],
    }
    held = [
        {"line": line, "column": column, "value": value}
        for line, each in values.items()
        for value in each
        for column, value in ((label, value), ("MIG", 7.0), (None, 7.0))
    ]
    [text] = read(held)
    assert text == (
        f"mean {label} on dSprites: DeVAE is 8 % over β-TCVAE (β = 12), where the paper says 8 % "
        "over; 10 % under β-VAE (β = 6), where the paper says 47 % over"
    )
    assert read([row for row in held if row["line"] != "dSprites: DeVAE"]) == () and read([]) == ()


def test_a_preset_may_have_another_metric_stand_for_one_of_the_table(tmp_path):
    usual = make.opened(tmp_path, "figure2", "paper", fit=False).table
    quick = make.opened(tmp_path, "figure2", "cpu", fit=False).table
    assert usual.metrics == ("cheap", "factor_vae", "dci")
    assert quick.metrics == ("cheap", "factor_vae", "dci_hist_boosted")
    changed = [new for old, new in zip(usual.columns, quick.columns, strict=True) if old != new]
    assert [(column.label, column.score) for column in changed] == [
        ("DCI disentanglement (hist_boosted)", "dci_hist_boosted_disentanglement")
    ]
    size = table.Preset(1, instead={"dci": "dci_forest"})
    with pytest.raises(ValueError, match="got metric='dci_forest'"):
        table.at(usual, size)


def test_slow_metrics_are_of_the_layers_of_columns_alone(tmp_path, monkeypatch):
    study = make.opened(tmp_path, "figure2", "smoke", seeds=1, fit=False)
    layers = []
    columns = (table.Column("MIG", "mig"), table.Column("MED", "med", 2))
    about = study.table._replace(metrics=("cheap", "med"), columns=columns)
    scored = lambda runs, **asked: layers.append((list(asked["metrics"]), asked.get("layers")))  # noqa: E731
    monkeypatch.setattr(make.results, "score_members", scored)
    monkeypatch.setattr(make, "code_shape", lambda coder, dataset: coder)
    nowhere = {"dataset": None, "folder": None, "member": None}
    runs = [SimpleNamespace(coder=(layers, 10), **nowhere) for layers in (3, 1)]
    make._results(study._replace(table=about), runs)
    assert layers == [(["cheap"], None), (["med"], [0, 2]), (["med"], [0])]
    for metrics, expected in ((("cheap",), [(["cheap"], None)]), (("kl",), [(["kl"], [0])])):
        layers.clear()
        make._results(study._replace(table=about._replace(metrics=metrics)), runs[1:])
        assert layers == expected  # nothing is encoded for no metric


def test_one_run_of_each_data_set_has_the_floor_of_slow_metrics(tmp_path, monkeypatch):
    """Not of those that take minutes; runs of other sources and seeds are of one data set."""
    asked = []
    scored = lambda runs, **how: asked.append((list(how["metrics"]), how.get("calibrate")))  # noqa: E731
    monkeypatch.setattr(make.results, "score_members", scored)
    monkeypatch.setattr(make, "code_shape", lambda coder, dataset: (1, 10))
    study = make.opened(tmp_path, "methods", "cpu", seeds=2, fit=False)
    study = study._replace(table=study.table._replace(metrics=("cheap", "med", "dci")))
    found = {}
    for number, program in enumerate(study.programs):
        for member in study.of_program(number):
            folder = SimpleNamespace(name=program.name)
            run = SimpleNamespace(coder=None, dataset=None, folder=folder, member=member.number)
            asked.clear()
            make._results(study, [run])
            found[member.line.label, member.seed] = asked[1:]
    bounded = {place: how for place, how in found.items() if how != [(["med", "dci"], False)]}
    lines = [next(x.label for x in study.table.lines if x.label.startswith(name)) for name in BOTH]
    assert bounded == {(line, 0): [(["med"], True), (["dci"], False)] for line in lines}


def test_members_have_every_seed_and_lines_of_one_config_share_a_program(tmp_path):
    study = make.opened(tmp_path, "table4", "smoke", fit=False)
    assert [len(program.members) for program in study.programs] == [6, 6]
    placed = {(member.program, member.number) for member in study.members}
    assert len(placed) == len(study.members) == 12
    for member in study.members:
        numbers = study.programs[member.program].members[member.number]
        assert numbers["objective.scale"] == member.line.changes["objective.scale"]
        assert numbers["seed"] == member.seed == member.config.seed
    parts = make.opened(tmp_path, "table4", "cpu", fit=False)
    assert {len(program.members) for program in parts.programs} == {1}
    assert len(parts.programs) == len(parts.members) == 18


def test_the_truth_of_table_1_is_that_of_the_paper():
    wanted = {(10, 0.3): 0.24, (10, 0.9): 4.15, (100, 0.6): 11.16, (1000, 0.9): 415.18}
    for (dim, rho), truth in wanted.items():
        assert round(total_correlation(dim, rho), 2) == truth


def test_the_program_of_table_1_fits_together_at_every_size(tmp_path):
    """Its images, which are not looked at, are such that the networks beside could take them."""
    for preset in table.load("table1").presets:
        study = make.opened(tmp_path, "table1", preset, seeds=1, fit=False)
        assert plan(study.members[0].config).program.source.batch_size in (16, 256)


def test_a_table_is_made_and_goes_on(tmp_path, monkeypatch):
    """What is damaged is named; scores that are lost are made again by the same command."""
    short = table.load("table1")
    short = short._replace(lines=short.lines[2:3])
    monkeypatch.setattr(make, "load", lambda name: short)
    flags = ["table1", "--preset=smoke", f"--workdir={tmp_path}"]
    printed = call("reproduce", *flags)
    line = "| D = 10, ρ = 0.9 (true 4.15) | TC | 2 |"
    assert line in printed and "Missing" not in printed and "| 4.14 |" in printed
    assert "seeds: 10 -> 2" in printed and "2 runs for table1 on 8 x cpu" in printed
    whole = (tmp_path / "rows.jsonl").read_text()
    estimates = [r for r in map(json.loads, whole.splitlines()) if r["column"] == "TC"]
    assert [row["seed"] for row in estimates] == [0, 1]
    assert all(row["value"] is not None and row["published"] == 4.14 for row in estimates)

    folder = tmp_path / "known_codes,latent_dim=10"
    scores = json.loads((folder / "scores.json").read_text())
    for damage, left in (([scores[0] | {"value": "x"}, *scores[1:]], 1), (None, 0)):
        (folder / "scores.json").write_text(json.dumps(damage) if damage else "[")
        printed = call("reproduce", "--print", *flags)
        assert "scores.json" in printed and f"| TC | {left} |" in printed
        lacking = "seed 0" if left else "seeds 0, 1"
        assert f"- {lacking}: D = 10, ρ = 0.9 (true 4.15)" in printed
        printed = call("reproduce", *flags)
        assert line in printed and "is a copy; what lacks is scored again" in printed
    assert (folder / "scores.damaged-2.json").read_text() == "["

    def plain(text):
        return [{**json.loads(row), "seconds": 0} for row in text.splitlines()]

    assert plain((tmp_path / "rows.jsonl").read_text()) == plain(whole)


def test_wrong_names_and_folders_are_refused(tmp_path):
    at = f"--workdir={tmp_path}"
    assert "did you mean 'table2'" in call("reproduce", "tabel2", at, code=2)
    assert "did you mean 'smoke'" in call("reproduce", "table2", at, "--preset=smok", code=2)
    (tmp_path / "study.json").write_text('{"table": "table3", "preset": "smoke", "seeds": 2}')
    assert "table3" in call("reproduce", "table2", at, "--preset=smoke", "--print", code=2)
    (tmp_path / "study.json").write_text("[]")
    assert "damaged" in call("reproduce", "table2", at, "--print", code=2)


def test_who_plans_a_study_second_does_not_train_other_programs(tmp_path):
    """Two machines of other memory looked when there was no study.json."""
    study = make.opened(tmp_path, "table4", "smoke", fit=False)
    make._write_study(study)
    make._write_study(study)
    with pytest.raises(ValueError, match="has just written a study of other at_once, expected"):
        make.make(study._replace(at_once=[1, 1]))
    assert not (tmp_path / "rows.jsonl").exists()


def test_cells_show_deviation_and_interval():
    """1, 2, 3: deviation 1, and t(.975, 2) = 4.303 of 1 / sqrt 3 on both sides."""
    assert show._cells([1.0, 2.0, 3.0], table.Published(0.5, 0.25)) == [
        "3",
        "2.00 ± 1.00",
        "-0.48 to 4.48",
        "0.50 ± 0.25",
    ]
    assert show._cells([1.0], None) == ["1", "1.00", "–", "–"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_made(name, tmp_path):
    study = make.opened(tmp_path, name, "smoke", seeds=1)
    assert make.make(study) == {}
    found = rows.collect(study)
    assert not found.missing and not found.damaged
    scored = {row["line"] for row in found.rows if row["column"] and row["value"] is not None}
    assert scored == {line.label for line in study.table.lines}
    text = show.markdown(study, found)
    for line in study.table.lines:
        assert f"| {line.label} |" in text
    if study.table.draw:
        assert (study.folder(0).figures(0) / "report.html").exists()
    again = make.opened(tmp_path, name, "smoke")
    assert make.make(again) == {} and rows.collect(again) == found


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_and_processes_share_it(tmp_path):
    """SIGKILL in the second program; then two processes at once make the rest, each run once."""
    flags = ["table1", "--preset=smoke", "--seeds=1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    call("reproduce", *flags, f"--workdir={whole}")
    running = start("reproduce", *flags, f"--workdir={parts}")
    for line in running.stdout:
        if line.startswith("program 2/3"):
            break
    running.kill()
    running.communicate(timeout=60)
    printed = call("reproduce", "--print", *flags, f"--workdir={parts}")
    assert "Missing, 6 of 9" in printed
    both = [start("reproduce", *flags, f"--workdir={parts}") for _ in range(2)]
    outputs = [each.communicate(timeout=300)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert not any("Missing" in output for output in outputs)

    def plain(folder):
        lines = (folder / "rows.jsonl").read_text().splitlines()
        return [{**json.loads(row), "seconds": 0, "device": ""} for row in lines]

    assert plain(parts) == plain(whole)
