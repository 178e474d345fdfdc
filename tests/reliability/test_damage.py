"""Damaged checkpoints are named and passed over: what is restored is what was written."""

import collections
import json
import shutil

import jax
import numpy as np
import pytest

from devae_jax.training import digests
from devae_jax.training.checkpoint import Checkpoints, CorruptCheckpointError
from tests.reliability.damage import KINDS, META, STEPS, abstract, hurt, leaves, state_of, write

pytestmark = pytest.mark.xdist_group("damaged")  # what its tests share is made once


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "checkpoints"
    write(path)
    return path


@pytest.fixture
def copied(written, tmp_path):
    return shutil.copytree(written, tmp_path / "checkpoints")


def assert_is(state, step):
    for x, y in zip(leaves(state), leaves(state_of(step)), strict=True):
        np.testing.assert_array_equal(x, y)


def outcomes(written, tmp_path, caplog, count, seed=0):
    """What became of `count` random damages to the newest checkpoint."""
    rng, found = np.random.default_rng(seed), collections.Counter()
    for number in range(count):
        path = shutil.copytree(written, tmp_path / str(number))
        files = sorted(file for file in (path / "100").rglob("*") if file.is_file())
        file = files[int(rng.integers(len(files)))]
        what = hurt(file, KINDS[number % len(KINDS)], rng)
        caplog.clear()
        saved = Checkpoints(path, alone=True).restore(abstract)
        assert_is(saved.state, saved.step)
        assert saved.meta == META, what
        found[saved.step] += 1
        assert saved.step == 100 or "checkpoint of step 100" in caplog.text, what
        shutil.rmtree(path)
    return found


def test_forty_damages(written, tmp_path, caplog):
    found = outcomes(written, tmp_path, caplog, 40)
    assert found[50] >= 5  # it does damage


@pytest.mark.slow
def test_damages(written, tmp_path, caplog):
    found = outcomes(written, tmp_path, caplog, 260, seed=1)
    print(f"260 damages: {found[100]} harmless, {found[50]} led to the checkpoint before")
    assert sum(found.values()) == 260


def test_a_flipped_bit_of_every_data_file_is_seen_or_harmless(written, tmp_path, caplog):
    names = [file.relative_to(written) for file in (written / "100").rglob("d/*")]
    seen = 0
    for number, name in enumerate(names):
        path = shutil.copytree(written, tmp_path / str(number))
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2] ^= 4
        (path / name).write_bytes(content)
        saved = Checkpoints(path, alone=True).restore(abstract)
        assert_is(saved.state, saved.step)
        seen += saved.step == 50
    assert seen


def edit(path, change):
    """The record of a checkpoint, changed by someone who cannot make digests."""
    file = path / "meta" / "metadata"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record["meta"]["config"].update(seed=4), "metadata is not what"),
        (lambda record: record["arrays"].popitem(), "metadata is not what"),
        (lambda record: record.pop("digest"), "metadata is not what"),
        (lambda record: record.update(format=3), "metadata is not what"),
        (lambda record: record.pop("format"), "another version"),
        (lambda record: record.clear(), "another version"),
    ],
)
def test_changed_records_are_named(copied, change, reason, caplog):
    edit(copied / "100", change)
    checkpoints = Checkpoints(copied, alone=True)
    assert checkpoints.restore(abstract).step == 50
    assert reason in caplog.text
    with pytest.raises(CorruptCheckpointError, match=reason):
        checkpoints.restore(abstract, step=100)


@pytest.mark.parametrize(
    "meta",
    [
        *(None, [1], 3, {}, *({k: v for k, v in META.items() if k != name} for name in META)),
        *(META | {"members": 3}, META | {"members": [3]}, META | {"config": []}),
        META | {"data": None},
    ],
)
def test_metadata_of_no_run_is_named_though_its_digest_fits(copied, meta, caplog):
    """As another program, or another's hand, may write it."""

    def change(record):
        record["meta"] = meta
        content = {name: value for name, value in record.items() if name != "digest"}
        record["digest"] = digests.of_json(content)

    edit(copied / "100", change)
    assert Checkpoints(copied, alone=True).restore(abstract).step == 50
    assert "its metadata lacks config, data or members of a run" in caplog.text


@pytest.mark.parametrize("record", ["null", "[1]", "3", "{", ""])
def test_records_that_are_none(copied, record):
    (copied / "100" / "meta" / "metadata").write_text(record)
    assert Checkpoints(copied, alone=True).restore(abstract).step == 50


@pytest.mark.parametrize(("old", "new"), [(100, 110), (50, 135)])
def test_a_renamed_folder_is_not_gone_on_from(copied, old, new, caplog):
    (copied / str(old)).rename(copied / str(new))
    saved = Checkpoints(copied, alone=True).restore(abstract)
    assert saved.step == (set(STEPS) - {old}).pop()
    assert f"it holds step {old}" in caplog.text
    checkpoints = Checkpoints(copied)
    checkpoints.discard_after(saved.step)
    assert checkpoints.steps() == [saved.step]
    assert (copied / f"{new}.damaged" / "state").is_dir()
    checkpoints.save(new, state_of(new), META)
    checkpoints.close()
    assert Checkpoints(copied, alone=True).restore(abstract).step == new


def test_an_empty_folder_is_no_checkpoint(copied):
    (copied / "500").mkdir()
    assert Checkpoints(copied, alone=True).steps() == list(STEPS)
    checkpoints = Checkpoints(copied)
    checkpoints.discard_after(100)
    assert not (copied / "500").exists()
    checkpoints.save(500, state_of(500), META)
    checkpoints.close()
    assert next(Checkpoints(copied, alone=True).good_steps()) == 500


def test_good_steps_need_no_shapes(copied, caplog):
    shutil.rmtree(copied / "100" / "state")
    assert list(Checkpoints(copied, alone=True).good_steps()) == [50]
    assert "step 100" in caplog.text


def test_every_member_has_digests(tmp_path):
    """Of a population, read whole or on other devices."""
    meta = META | {"members": [{"seed": 0}, {"seed": 1}]}
    population = jax.tree.map(lambda *x: jax.numpy.stack(x), state_of(50), state_of(50))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(50, population, meta)
    checkpoints.close()
    record = json.loads((tmp_path / "checkpoints/50/meta/metadata").read_text())
    assert {len(row) for row in record["arrays"].values()} == {2}
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), population)
    mesh = jax.sharding.Mesh(jax.devices()[:2], "member")
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("member"))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split), shapes)
    read = Checkpoints(tmp_path / "checkpoints", alone=True)
    assert read.restore(lambda _: shapes).step == 50
    assert list(read.good_steps()) == [50]


@pytest.mark.parametrize("name", ["..", "../../../secret", "/etc/passwd", "a/../../b", "\x00", ""])
def test_trees_that_point_elsewhere(copied, tmp_path, name):
    """Names in orbax' own description of the state: nothing is written, nothing else restored."""
    np.savez(tmp_path / "secret", x=np.ones(3))
    file = copied / "100" / "state" / "_METADATA"
    text = file.read_text()
    assert "kernel" in text
    file.write_text(text.replace("kernel", json.dumps(name)[1:-1]))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    checkpoints = Checkpoints(copied, alone=True)
    for step in (checkpoints.restore(abstract).step, next(checkpoints.good_steps())):
        assert step in STEPS
    saved = checkpoints.restore(abstract)
    assert_is(saved.state, saved.step)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
