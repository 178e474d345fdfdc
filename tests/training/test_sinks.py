"""Services that follow a run: told the same numbers, and never a reason to stop."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest

from devae_jax.program import plan as programs
from devae_jax.runs.folder import Folder
from devae_jax.training import sinks
from devae_jax.training.sinks import SINKS, Followed, Guarded, opened
from devae_jax.training.writer import Events, Writer, numbers_of, write_pictures
from devae_jax.viz.save import png
from tests.laws.registry import config_of
from tests.reliability.test_disks import events_of

ROW = {"loss": np.float32(2), "kl": np.array([1, np.nan, 3]), "mi": np.zeros((2, 2))}
SETTINGS = {"method": "vae", "seed": 1, "model.latent_dim": 10, "progress": True, "shape": [1]}


class Noting:
    """What a sink was told."""

    def __init__(self, run):
        self.told = [run]

    def write(self, step, numbers):
        if step > 2:
            raise ConnectionError("no network\nat all")
        self.told.append((step, numbers))

    def close(self):
        self.told.append("closed")


def test_a_sink_takes_the_numbers_of_every_row_until_it_fails(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setitem(SINKS, "noting", lambda run: made.append(Noting(run)) or made[-1])
    run = Followed(tmp_path, SETTINGS)
    writer = Writer(tmp_path / "metrics.jsonl", sinks=opened(("noting",), [run]))
    writer.write(1, ROW, {"steps_per_second": 5.0})
    writer.write(3, ROW)
    writer.write(4, ROW)
    writer.close()
    numbers = {"loss": 2.0, "kl/0": 1.0, "kl/2": 3.0, "steps_per_second": 5.0}
    assert made[0].told == [run, (1, numbers)]
    assert capsys.readouterr().err == "noting takes no more rows (no network); the run goes on\n"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


POPULATION = {"loss": np.array([2.0, 3.0]), "kl": np.array([[1, np.nan], [4, 5]])}


def members_of(folder):
    return [Followed(folder, SETTINGS | {"seed": s}, i, ("seed",)) for i, s in enumerate((7, 8))]


def test_a_sink_follows_every_member_and_its_failure_is_told_once(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setitem(SINKS, "noting", lambda run: made.append(Noting(run)) or made[-1])
    runs = members_of(tmp_path)
    numbers = [{"seed": 7}, {"seed": 8}]
    writer = Writer(tmp_path / "m.jsonl", members=numbers, sinks=opened(("noting",), runs))
    for step in (1, 3, 4):
        writer.write(step, POPULATION, {"steps_per_second": 5.0})
    writer.close()
    rate = {"steps_per_second": 5.0}
    first = {"loss": 2.0, "kl/0": 1.0} | rate
    second = {"loss": 3.0, "kl/0": 4.0, "kl/1": 5.0} | rate
    assert [sink.told for sink in made] == [[runs[0], (1, first)], [runs[1], (1, second)]]
    assert capsys.readouterr().err == "noting takes no more rows (no network); the run goes on\n"
    assert [run.name for run in runs] == [f"{tmp_path.name}/member_{i}" for i in (0, 1)]
    assert {run.group for run in runs} == {tmp_path.name}


def test_a_missing_package_is_told_and_a_wrong_name_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    Guarded("wandb", [Followed(tmp_path, {})]).close()
    assert "wandb takes no more rows (import of wandb halted" in capsys.readouterr().err
    config = config_of("vae")
    config.train.sinks = ("wandbb",)
    with pytest.raises(ValueError, match="did you mean 'wandb'"):
        programs.plan(config)


@pytest.mark.slow
def test_mlflow_writes_into_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow or mlflow-skinny")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sink = sinks.Mlflow(Followed(tmp_path, SETTINGS))
    sink.write(7, {"loss": 2.0, "loss/kl": 1.0, "kl/0 (x)": 1.0})
    sink.close()
    (loss,) = tmp_path.glob("mlruns/*/*/metrics/loss")
    assert loss.read_text().split()[1:] == ["2.0", "7"]
    assert {path.name for path in loss.parent.iterdir()} == {"loss", "loss.kl", "kl.0 _x_"}
    (dim,) = tmp_path.glob("mlruns/*/*/params/model.latent_dim")
    assert dim.read_text() == "10"


@pytest.mark.slow
def test_mlflow_has_a_run_of_every_member(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow or mlflow-skinny")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    guarded = Guarded("mlflow", members_of(tmp_path))
    guarded.write(7, [{"loss": 2.0}, {"loss": 3.0}])
    guarded.close()
    found = {
        tuple(
            (run / name).read_text().split()[-2 if name.startswith("metrics") else -1]
            for name in ("params/seed", "metrics/loss", "tags/group", "tags/mlflow.runName")
        )
        for run in tmp_path.glob("mlruns/*/*")
        if (run / "params").is_dir()
    }
    name = tmp_path.name
    assert found == {("7", "2.0", name, f"{name}/member_0"), ("8", "3.0", name, f"{name}/member_1")}


@pytest.mark.slow
def test_wandb_writes_offline_into_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    sink = sinks.Wandb(Followed(tmp_path, SETTINGS))
    sink.write(7, {"loss": 2.0})
    sink.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 30  # a process of wandb's own writes
    while not (b"model.latent_dim" in file.read_bytes() and b"loss" in file.read_bytes()):
        assert time.monotonic() < deadline, file.read_bytes()
        time.sleep(0.1)


@pytest.mark.slow
def test_wandb_has_a_run_of_every_member(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    guarded = Guarded("wandb", members_of(tmp_path))
    guarded.write(7, [{"loss": 2.0}, {"of_second": 3.0}])
    guarded.close()
    deadline = time.monotonic() + 30  # a process of wandb's own writes
    # The second ends last: what wandb prints at an end is in the files of those that go on.
    words, told = (b"member_0", b"member_1", b"of_second"), set()
    while told != {words[:1], words[1:]}:
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
        files = [file.read_bytes() for file in tmp_path.glob("wandb/offline-run-*/run-*.wandb")]
        told = {tuple(word for word in words if word in file) for file in files}


def test_tensorboard_has_settings_and_pictures(tmp_path):
    events = Events(tmp_path / "tensorboard", 0, Followed(tmp_path, SETTINGS))
    events.write(5, numbers_of(ROW))
    events.close()
    picture = png(np.zeros((4, 6, 3), np.uint8))
    write_pictures(tmp_path / "tensorboard", 5, {"figures/samples": picture})
    values = {v.tag: v for e in events_of(tmp_path / "tensorboard") for v in e.summary.value}
    assert values["_hparams_/session_start_info"].metadata.plugin_data.plugin_name == "hparams"
    content = values["_hparams_/session_start_info"].metadata.plugin_data.content
    assert b"model.latent_dim" in content and json.dumps([1]).encode() in content
    image = values["figures/samples"].image
    assert (image.width, image.height, image.encoded_image_string) == (6, 4, picture)


def test_a_real_tensorboard_reads_them(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    test_tensorboard_has_settings_and_pictures(tmp_path)
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    tags = read.Tags()
    assert set(tags["scalars"]) == {"loss", "kl/0", "kl/2"}
    assert tags["images"] == ["figures/samples"] and read.Images("figures/samples")[0].width == 6
    assert "hparams" in read.summary_metadata["_hparams_/experiment"].plugin_data.plugin_name


@contextlib.contextmanager
def serving(folder):
    """TensorBoard's server, asked as its page asks it: ask(plugin, data, **query) -> bytes."""
    options = [f"--logdir={folder}", "--host=127.0.0.1", "--port=0"]
    command = [sys.executable, "-m", "tensorboard.main", *options, "--load_fast=false"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def ask(plugin, data=None, **query):
        path = f"{address}data/plugin/{plugin}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(path, data, {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=60).read()

    try:
        found = (re.search(r"http://\S+", line) for line in server.stderr)
        address = next(match[0] for match in found if match)
        yield ask
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.slow
def test_a_real_tensorboard_shows_them(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    test_tensorboard_has_settings_and_pictures(tmp_path)
    with serving(tmp_path / "tensorboard") as ask:
        deadline = time.monotonic() + 60
        while not json.loads(ask("images/tags")).get("."):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (image,) = json.loads(ask("images/images", run=".", tag="figures/samples", sample=0))
        query = dict(urllib.parse.parse_qsl(image["query"]))
        assert ask("images/individualImage", **query) == png(np.zeros((4, 6, 3), np.uint8))
        rows = json.loads(ask("scalars/scalars", run=".", tag="kl/2"))
        assert [row[1:] for row in rows] == [[5, 3.0]]
        told = ask("hparams/experiment", b'{"experimentName": ""}')
        named = {each["name"] for each in json.loads(told)["hparamInfos"]}
        assert {"method", "model.latent_dim"} <= named


@pytest.mark.slow
def test_a_real_tensorboard_compares_members(tmp_path):
    """Its table of HParams has a row a member, with the member's own settings and metrics."""
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    for start in (0, 1):  # the second start goes on
        writer = Folder(tmp_path).writer(
            start, members=[{"seed": 7}, {"seed": 8}], tensorboard=members_of(tmp_path)
        )
        writer.write(start + 1, {"loss": POPULATION["loss"] - start, "eval/mig": np.eye(2)})
        writer.close()
    with serving(tmp_path / "tensorboard") as ask:
        deadline = time.monotonic() + 60
        while len(json.loads(ask("scalars/tags"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        asked = {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"],
            "startIndex": 0,
            "sliceSize": 10,
        }
        groups = json.loads(ask("hparams/session_groups", json.dumps(asked).encode()))
        told = json.loads(ask("hparams/experiment", b'{"experimentName": ""}'))
    table = {
        group["name"]: (
            group["hparams"]["seed"],
            {m["name"]["tag"]: (m["trainingStep"], m["value"]) for m in group["metricValues"]},
        )
        for group in groups["sessionGroups"]
    }
    assert table == {
        "member_0": (7, {"loss": (2, 1.0), "eval/mig/0": (2, 1.0)}),
        "member_1": (8, {"loss": (2, 2.0), "eval/mig/0": (2, 0.0)}),
    }
    assert [info["name"] for info in told["hparamInfos"] if info["differs"]] == ["seed"]
    assert {"loss", "eval/mig/0"} <= {info["name"]["tag"] for info in told["metricInfos"]}
