"""A run as files to share: the same numbers from the library, and from JAX without it."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import devae_jax
from devae_jax.configs import known_codes
from devae_jax.runs import results
from devae_jax.runs.shared import card, rebuilt, stablehlo
from devae_jax.runs.train import train_members
from devae_jax.types import Posterior
from tests.launch.commands import ROOT
from tests.runs.test_training import small

pytestmark = pytest.mark.xdist_group("exported")  # what its tests share is made once

pytest.importorskip("safetensors", reason="needs safetensors, of the extra `share`")
pytest.importorskip("flatbuffers", reason="needs flatbuffers, of the extra `share`")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    shutil.copytree(ROOT / "tests" / "fixtures" / "run_format2", folder)
    return devae_jax.load(folder)


@pytest.fixture(scope="module")
def exported(run):
    return run.export(run.folder.path.parent / "shared")


@pytest.fixture(scope="module")
def images(run):
    return np.random.default_rng(0).uniform(size=(3, *run.dataset.image_shape)).astype(np.float32)


def test_it_loads_with_the_same_numbers_also_from_links(run, exported, images, tmp_path):
    for i, path in enumerate(exported.iterdir()):  # as a hub keeps its snapshots
        (tmp_path / "blobs").mkdir(exist_ok=True)
        (tmp_path / "snapshot").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "blobs" / str(i))
        (tmp_path / "snapshot" / path.name).symlink_to(f"../blobs/{i}")
    loaded = devae_jax.load(tmp_path / "snapshot")
    assert (loaded.step, loaded.config.method) == (run.step, "fixture")
    both = (jax.tree.leaves(r.encode(images)) for r in (run, loaded))
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.folder.scores() and loaded.layer_labels == run.layer_labels


def test_a_process_without_the_library_runs_it(run, exported, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    code = f"""
import sys
sys.modules["devae_jax"] = sys.modules["flax"] = None
import numpy as np
from jax import export
read = lambda name: export.deserialize(bytearray(open({str(exported)!r} + name, "rb").read()))
means, logvar = read("/encoder.stablehlo").call(np.load("images.npy"))
decoded = read("/decoder.stablehlo").call(means[1], np.ones(len(means[1]), np.int32))
np.savez("found.npz", means=means, logvar=logvar, decoded=decoded)
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    posterior = run.encode(images)
    np.testing.assert_allclose(found["means"], posterior.mean, atol=1e-5)
    np.testing.assert_allclose(found["logvar"], posterior.logvar, atol=1e-5)
    np.testing.assert_allclose(found["decoded"], run.decode(posterior.mean[1], 1), atol=1e-5)


def test_one_member_of_a_population_is_a_run_of_its_own(tmp_path):
    members = [{"seed": 3}, {"seed": 4, "optimizer.learning_rate": 2e-3}]
    runs = train_members(small(steps=10, train__eval_every=0), members, tmp_path / "runs")
    results.score_members(runs, metrics=["kl"], progress=False)
    shared = runs[1].export(tmp_path / "shared")
    loaded = devae_jax.load(shared)
    assert (loaded.config.seed, loaded.config.optimizer.learning_rate) == (4, 2e-3)
    assert (loaded.step, loaded.member) == (10, None)
    images = np.random.default_rng(0).uniform(size=(3, *loaded.dataset.image_shape))
    first, second, found = (run.encode(images).mean for run in (*runs, loaded))
    np.testing.assert_array_equal(found, second)
    assert not np.array_equal(found, first)
    rows = loaded.folder.scores()
    assert rows and {row["member"] for row in rows} == {1}
    about = json.loads((shared / "run.json").read_text())
    assert (about["member"], about["seed"]) == (1, 4)
    assert "- member: `1`" in (shared / "README.md").read_text()


def test_codes_that_look_at_no_image_are_exported_too(tmp_path):
    """Of any number of images, none of which has a say: the prior, and one grey."""
    config = known_codes.get_config("toy")
    config.steps, config.train.log_every, config.train.checkpoint_every = 1, 1, 1
    config.objective.terms.discriminator.depth = 2
    run, dim = devae_jax.train(config, tmp_path / "run"), config.model.latent_dim
    shared = run.export(tmp_path / "shared")
    encoder, decoder = (
        jax.export.deserialize(bytearray((shared / f"{name}.stablehlo").read_bytes())).call
        for name in ("encoder", "decoder")
    )
    for count in (1, 3):
        means, logvar = encoder(np.ones((count, *run.dataset.image_shape), np.float32))
        assert means.shape == (1, count, dim) and not means.any() and not logvar.any()
        images = decoder(means[0], np.zeros(count, np.int32))
        assert images.shape == (count, *run.dataset.image_shape) and (images == 0.5).all()
    assert devae_jax.load(shared).config.method == "known_codes"


def test_a_function_of_a_fixed_number_of_images_is_refused_in_one_line():
    def encode(images):
        return Posterior(mean=np.zeros((1, len(images), 2)), logvar=images.sum())

    with pytest.raises(ValueError, match=r"an encoder that is not exported.*x\.shape\[0\]") as told:
        stablehlo(encode, lambda z, layer: z, (4, 4, 1), 2)
    assert "\n" not in str(told.value)


def test_damage_and_other_folders_are_refused(run, exported, tmp_path):
    with pytest.raises(ValueError, match="not empty"):
        run.export(exported)
    with pytest.raises(ValueError, match="expected none"):
        devae_jax.load(exported, member=1)
    for name, content, message in (
        ("model.safetensors", b"\0" * 8, "other bytes than were exported"),
        ("config.json", b"{", "expected a mapping in JSON"),
        ("run.json", b'{"format": 99}', "format 99 of a later devae_jax"),
    ):
        broken = tmp_path / name
        shutil.copytree(exported, broken)
        (broken / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            devae_jax.load(broken)
    (broken / "model.safetensors").unlink()
    shutil.copy(exported / "run.json", broken / "run.json")
    with pytest.raises(ValueError, match=r"No such file.*model\.safetensors"):
        devae_jax.load(broken)


def test_arrays_must_be_those_of_the_config():
    shapes = {"params": {"w": jax.ShapeDtypeStruct((2,), np.float32)}}
    good = {"params/w": np.ones(2, np.float32)}
    assert rebuilt(shapes, good)["params"]["w"].tolist() == [1.0, 1.0]
    for arrays, message in (
        ({}, "no array 'params/w'"),
        (good | {"b": np.ones(1)}, "a surplus array 'b'"),
        ({"params/w": np.ones(3, np.float32)}, r"float32\[3\], expected float32\[2\]"),
    ):
        with pytest.raises(ValueError, match=message):
            rebuilt(shapes, arrays)


def test_the_card_says_what_it_is_and_names_are_no_markup(exported):
    text = (exported / "README.md").read_text()
    assert "| kl | formula | 0 |" in text and "export.deserialize" in text
    assert json.loads((exported / "run.json").read_text())["data"]["name"] == "toy"
    hostile = card({"method": "<script>|\n# x", "data": {"name": "`a`"}}, [])
    assert "<script>" not in hostile and "\n# x" not in hostile and "not scored" in hostile
