"""Runs that this version or an earlier one left are read; those of a later one are refused."""

import functools
import json
import shutil

import numpy as np
import pytest

from devae_jax.configs import base
from devae_jax.files import FORMAT, FormatError
from devae_jax.program.saved import config_of, differences
from devae_jax.runs import results
from devae_jax.runs.folder import Folder
from devae_jax.runs.run import load
from devae_jax.runs.train import train
from devae_jax.training import digests
from tests.reliability.write_run import FOLDER, LAST, SAVED, SCORING, expected

WRITTEN = sorted(FOLDER.parent.glob("run_format*"))  # one of each format
RECORD = f"checkpoints/{SAVED}/meta/metadata"


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(FOLDER, tmp_path / "run")


def test_there_is_a_run_of_this_format():
    assert FOLDER in WRITTEN


@pytest.mark.parametrize("written", WRITTEN, ids=lambda path: path.name)
def test_a_run_is_restored_scored_and_gone_on_from(written, tmp_path):
    path = shutil.copytree(written, tmp_path / "run")
    wanted = json.loads((path / "expected.json").read_text())
    restored = load(path)
    assert restored.step == SAVED
    for name, value in expected(restored).items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-3, atol=1e-4)
    before = Folder(path).scores()
    rows = results.score(restored, **SCORING)
    assert [row["metric"] for row in rows] == [row["metric"] for row in before]
    for row, old in zip(rows, before, strict=True):
        np.testing.assert_allclose(row["value"], old["value"], rtol=1e-3, atol=1e-3)
    (path / "expected.json").unlink()
    assert train(restored.config.to_dict() | {"steps": LAST}, path).step == LAST
    losses = [row["loss"] for row in Folder(path).metrics() if row["step"] > SAVED]
    np.testing.assert_allclose(losses, wanted["losses"], rtol=1e-3)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(path, **changes):
    """A JSON file as another version writes it, its digest right if it has one."""
    content = json.loads(path.read_text())
    for part in content if isinstance(content, list) else [content]:
        part.update(changes)
        if part.pop("digest", None):
            part["digest"] = digests.of_json(part)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("number", "age"), [(FORMAT + 1, "a later"), (FORMAT - 1, "an earlier")])
@pytest.mark.parametrize("name", [RECORD, "config.json", "scores.json"])
def test_another_format_is_refused_and_nothing_lost(run, name, number, age):
    changed(run / name, format=number)
    before = contents(run / "checkpoints")
    told = f"in format {number} of {age} devae_jax, expected {FORMAT}; read it with the version"
    with pytest.raises(FormatError, match=told) as caught:
        Folder(run).scores() if name == "scores.json" else load(run)
    assert "\n" not in str(caught.value)
    if name != "scores.json":
        with pytest.raises(FormatError, match=told):
            train(Folder(FOLDER).config().to_dict() | {"steps": LAST}, run)
        assert contents(run / "checkpoints") == before


def test_configs_and_scores_from_before_formats_were_written_are_read(run):
    for name in ("config.json", "scores.json"):
        content = json.loads((run / name).read_text())
        for part in content if isinstance(content, list) else [content]:
            assert part.pop("format") == FORMAT
        (run / name).write_text(json.dumps(content))
    assert load(run).step == SAVED
    assert len(Folder(run).scores()) == len(Folder(FOLDER).scores())


def test_a_config_from_before_a_key_of_the_base_is_read_with_it():
    base_ = base.get_config()
    saved = base_.to_dict()
    del saved["data"]["held_out"], saved["data"]["on_error"], saved["eval"]
    assert config_of(saved) == base_
    for options in ("model.width", "data.source.sampling", "objective.scale", "model", "optimizer"):
        saved = base_.to_dict()
        *path, leaf = options.split(".")
        section = functools.reduce(dict.get, path, saved)
        del section[leaf]
        assert (
            config_of(saved).to_dict() == saved
        )  # a factory's own defaults; a model is not made up


@pytest.mark.parametrize(
    "option", ["objective.reconstruction_weight", "model.init", "optimizer.eps"]
)
def test_an_option_that_the_base_got_makes_no_other_run(option):
    """Neither for a run from before, nor for a user's config that does not name it."""
    wanted = base.get_config()
    saved = wanted.to_dict()
    section, leaf = option.split(".")
    value = saved[section].pop(leaf)
    for pair in ((config_of(saved), wanted), (wanted, config_of(saved))):
        assert differences(*pair) == []
    with wanted.ignore_type():
        wanted[section][leaf] = 7.0
    assert differences(config_of(saved), wanted) == [f"{option}: {value!r} -> 7.0"]
    # Another factory's option of that name may have another default.
    wanted = base.get_config()
    if "name" in wanted[section]:
        wanted[section].name = saved[section]["name"] = "other"
        assert differences(config_of(saved), wanted) == [f"{option}: '(absent)' -> {value!r}"]
