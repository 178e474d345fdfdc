"""A table in a file of one's own: planned and printed as the library's, refused in one line."""

from pathlib import Path

import pytest

from devae_jax.program import references
from devae_jax.runs import study as page
from devae_jax.studies import make, rows, shown
from tests.launch.commands import call
from tests.studies.test_rows import trained

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "own_table.py"
WHOLE = """
from devae_jax.studies.table import Column, Line, Preset, Table
TABLE = Table(
    "Mine",
    [Column("MIG", "mig")],
    [Line("a", "devae"), Line("b", "beta_vae:", {"optimizer.learning_rate": 0.002})],
    {"cpu": Preset(1, "toy")},
)
"""


def written(path, text=WHOLE):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_it_is_planned_trained_and_printed_from_any_folder(tmp_path, monkeypatch):
    file = written(tmp_path / "tables" / "mine.py")
    monkeypatch.chdir(file.parent)
    study = make.opened(tmp_path / "w", "mine.py", "cpu", fit=False)
    assert study.name == str(file) and [p.name for p in study.programs] == [
        "devae,all",
        "beta_vae,all",
    ]
    make._write_study(study)
    for number in (0, 1):
        trained(study, number)
    rows.write(study, rows.collect(study).rows)
    monkeypatch.chdir(tmp_path)
    printed = call("reproduce", "tables/mine.py", "--print", f"--workdir={study.path}")
    assert "| b | 1 | 0.50 |" in printed and f"2 runs for {file} on 1 x cpu" in printed
    # Its rows serve it in another folder, and another table would not be taken for it.
    other = [f"--workdir={tmp_path / 'other'}", f"--rows={study.path / 'rows.jsonl'}"]
    planned = call("reproduce", str(file), "--plan", *other)
    assert planned.count("in the given rows") == 2
    written(tmp_path / "tables" / "other.py")
    refused = call("reproduce", "tables/other.py", f"--workdir={study.path}", "--plan", code=2)
    assert "got workdir" in refused and "mine.py" in refused and "other.py" in refused


def test_a_folder_does_not_say_which_code_runs(tmp_path):
    """Its study.json names the file; who looks at the folder must say that it may run."""
    ran = tmp_path / "ran"
    file = written(tmp_path / "mine.py", f"open({str(ran)!r}, 'a').write('x')\n{WHOLE}")
    study = make.opened(tmp_path / "w", str(file), "cpu", fit=False)
    make._write_study(study)
    ran.unlink()
    references._file.cache_clear()  # as in a process that has not run it
    known, _ = shown.known([study.path])
    assert not known.labels and "code that is not the library's" in known.missing[0]
    assert not ran.exists()
    known, command = shown.known([study.path], trust=True)
    assert ran.exists()
    assert command == f"python launch/reproduce.py {file} --preset=cpu --workdir={study.path}"
    assert [label for label, _ in known.labels.values()] == ["a", "b"]


def test_its_runs_have_its_names_in_a_report_that_may_run_it(tmp_path, monkeypatch):
    study = make.opened(tmp_path / "w", str(written(tmp_path / "mine.py")), "cpu", fit=False)
    make._write_study(study)
    trained(study, 0)
    folder, config = study.folder(0), study.programs[0].config
    (folder.path / "config.json").write_text(config.to_json_best_effort())
    about = {"method": "devae", "data": {"name": "toy"}}
    folder.write_scores([row | about for row in folder.scores()])
    printed = call("report", f"--runs={study.path}")
    assert "| devae | 1 | 0.50 |" in printed and "pass --trust to run it" in printed
    printed = call("report", f"--runs={study.path}", "--trust")
    assert "| a | 1 | 0.50 |" in printed and "w, not finished, seed 0: b" in printed
    trusted = []
    monkeypatch.setattr(page, "load", lambda path, member, trust: trusted.append(trust))
    monkeypatch.setattr(page.results, "draw", lambda run: None)
    for flags in ([], ["--trust"]):
        call("report", f"--runs={study.path}", "--draw", *flags)
    assert trusted == [False, True]
    gather = ["results", "gather", f"--runs={study.path}", f"--to={tmp_path / 'all.jsonl'}"]
    assert "pass --trust to run it" in call(*gather)
    assert "rows of 1 runs, of 1 studies" in call(*gather, "--trust")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("TABLE = Table(", "TABLE = Table((", "SyntaxError"),
        ("TABLE =", "1 / 0\nTABLE =", "ZeroDivisionError: division by zero"),
        ("TABLE =", "TABEL =", "did you mean 'TABEL'"),
        ("TABLE =", "TABLE, other = 3,", "got int as TABLE"),
        ('Line("b"', 'Line("a"', "Line(…) of different labels; fix them: a, a"),
        ('Line("a", "devae"),', '("a", "devae"),', "expected one or more Line(…)"),
        ('[Column("MIG", "mig")]', "[]", "expected one or more Column(…)"),
        ('{"cpu": Preset(1, "toy")}', "{}", 'expected {"cpu": Preset(…)}'),
        ('"mig"', '"migg"', "did you mean 'mig'"),
        ("})],\n", '})],\n    metrics=("cheep",), presets=', "did you mean 'cheap'"),
        ('Preset(1, "toy")}', 'Preset(1, "toy")}, figure="strip"', "did you mean 'strips'"),
        ('Preset(1, "toy")', 'Preset(1, "tyo")', "did you mean 'toy'"),
        ("learning_rate", "learning_rte", "did you mean 'optimizer.learning_rate'"),
        ('"devae"', '"devea"', "got config 'devea' of line 'a', expected a name in configs/"),
        ('"devae"', '"none.py"', "got config of line 'a'='none.py:get_config'"),
    ],
)
def test_what_is_wrong_ends_in_one_line(tmp_path, old, new, told):
    assert WHOLE.count(old) == 1
    file = written(tmp_path / "wrong.py", WHOLE.replace(old, new))
    refused = call("reproduce", str(file), f"--workdir={tmp_path / 'w'}", code=2)
    assert told in refused and len(refused.splitlines()) == 1
    assert not (tmp_path / "w").exists()


def test_a_file_that_is_not_there(tmp_path):
    refused = call("reproduce", f"{tmp_path}/none.py", f"--workdir={tmp_path / 'w'}", code=2)
    assert f"there is no file {tmp_path}/none.py" in refused
    assert "did you mean 'table2'" in call("reproduce", "tabel2", "--workdir=w", code=2)


def test_configs_of_ones_own(tmp_path):
    config = (
        "from devae_jax.configs import devae\ndef get_config({}):\n    return devae.get_config({})"
    )
    own = [written(tmp_path / name / "own.py", config.format("v='toy'", "v")) for name in "xy"]
    fixed = written(tmp_path / "fixed.py", config.format("", "'toy'"))

    def planned(first, second="beta_vae:"):
        text = WHOLE.replace('"devae"', f'"{first}"').replace('"beta_vae:"', f'"{second}"')
        file = written(tmp_path / f"table{len(list(tmp_path.iterdir()))}.py", text)
        study = make.opened(tmp_path / "w", str(file), "cpu", fit=False)
        return [program.name for program in study.programs]

    assert planned(f"{own[0]}:linear") == ["own-linear,all", "beta_vae,all"]
    with pytest.raises(
        ValueError, match=r"got variants 'toy' for .*fixed.py, expected a get_config"
    ):
        planned(fixed)
    with pytest.raises(ValueError, match="got two programs 'own,all' of the table"):
        planned(*own)


def test_a_table_that_has_changed_is_told_to_go_elsewhere(tmp_path):
    study = make.opened(tmp_path / "w", str(written(tmp_path / "mine.py")), "cpu", fit=False)
    make._write_study(study)
    longer = study._replace(at_once=[*study.at_once, 1])
    with pytest.raises(ValueError, match="table has changed since, choose another"):
        make._write_study(longer)
