"""Code of the user's own: found, saved by name, trusted, and refused in one line."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

import devae_jax
from devae_jax.configs import beta_vae
from devae_jax.program import plan as programs
from devae_jax.program.references import resolve, text_of
from tests.runs.test_training import small

METHOD = '''
"""A penalty of one's own: beta times the KL of the first latent alone."""
from devae_jax.objectives.kl import stateless
from devae_jax.types import Pressure


def first_latent(context, *, beta: Pressure = 2.0):
    return stateless(lambda latents, step: (beta * latents.kl[:, 0], {}))


def no_term(first, second, *, beta: float = 1.0):
    return None


number = 3
'''


@pytest.fixture
def method(tmp_path):
    path = tmp_path / "own" / "method.py"
    path.parent.mkdir()
    path.write_text(METHOD)
    return path


def with_kind(kind, **options):
    config = small("beta_vae")
    config.objective.terms = {"kl": {"kind": "pressure", "betas": (1.0,)}}
    config.objective.terms.mine = ConfigDict({"kind": kind, **options})
    return config


def test_a_term_in_a_file_of_ones_own(method, tmp_path):
    """Trained by its path, its numbers traced and bounded, loaded with trust alone."""
    run = devae_jax.train(with_kind(f"{method}:first_latent", beta=3.0), tmp_path / "run")
    assert "loss/mine" in run.folder.metrics()[-1]
    plan = programs.plan(with_kind(f"{method}:first_latent", beta=3.0))
    assert plan.hparams["objective.terms.mine.beta"] == 3.0
    with pytest.raises(ValueError, match=r"mine\.beta=-1\.0, expected >= 0"):
        programs.plan(with_kind(f"{method}:first_latent", beta=-1.0))
    with pytest.raises(ValueError, match=r"expected one that needs no code.*trust=True"):
        devae_jax.load(tmp_path / "run")
    images = np.zeros((2, 16, 16, 1))
    again = devae_jax.load(tmp_path / "run", trust=True)
    np.testing.assert_array_equal(again.encode(images).mean, run.encode(images).mean)


def test_a_factory_itself_is_saved_by_name(method, tmp_path):
    factory = resolve(f"{method}:first_latent", {}, "kind")
    config = programs.plan(with_kind(factory)).config
    assert config.objective.terms.mine.kind == f"{method.resolve()}:first_latent"
    json.dumps(config.to_dict())
    from devae_jax.objectives import kl

    assert text_of(kl.pressure, "kind") == "devae_jax.objectives.kl:pressure"
    with pytest.raises(ValueError, match="top of its file"):
        text_of(lambda context: None, "objective.terms.mine.kind")


def test_a_factory_of_the_config_file_is_saved_by_its_path(method, monkeypatch):
    """Flags load a config under a name of their own, by which no other process finds it."""
    spec = importlib.util.spec_from_file_location("config_config", method)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "config_config", module)
    spec.loader.exec_module(module)
    assert text_of(module.first_latent, "kind") == f"{method.resolve()}:first_latent"


def test_a_relative_path_is_saved_whole(method, monkeypatch):
    monkeypatch.chdir(method.parent)
    config = programs.plan(with_kind("method.py:first_latent")).config
    assert config.objective.terms.mine.kind == f"{method.resolve()}:first_latent"


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        ("import nothing_of_that_name", "f", "ModuleNotFoundError: No module named 'nothing_of"),
        ("def f(:", "f", "SyntaxError"),
        (METHOD, "first_latnet", "did you mean 'first_latent'"),
        (METHOD, "number", "number', expected a function"),
        (METHOD, "no_term", r"a function of \(first, second\), expected a term"),
    ],
)
def test_what_is_wrong_ends_in_one_line(tmp_path, content, name, told):
    path = tmp_path / "wrong.py"
    path.write_text(content)
    with pytest.raises(ValueError, match=told) as error:
        programs.plan(with_kind(f"{path}:{name}"))
    assert len(str(error.value).splitlines()) == 1
    assert "objective.terms.mine.kind" in str(error.value)


def test_files_and_modules_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        programs.plan(with_kind(f"{tmp_path}/none.py:f"))
    with pytest.raises(ValueError, match="No module named 'nobody'"):
        programs.plan(with_kind("nobody.terms:f"))
    with pytest.raises(ValueError, match="did you mean 'pressure'"):
        programs.plan(with_kind("presure"))


def test_a_data_set_of_ones_own(tmp_path):
    path = tmp_path / "data.py"
    path.write_text(
        "import jax.numpy as jnp\n"
        "from devae_jax.types import Dataset\n"
        "def grey(request):\n"
        "    size = request.image_size\n"
        "    return Dataset(name='grey', image_shape=(size, size, 1), size=64,\n"
        "        identity={'name': 'grey'}, arrays=(),\n"
        "        observe=lambda arrays, numbers: jnp.broadcast_to(\n"
        "            (numbers / 64.0)[:, None, None, None], (len(numbers), size, size, 1)))\n"
    )
    config = small("beta_vae", data__name=f"{path}:grey")
    assert programs.plan(config).dataset.name == "grey"


def test_a_batch_without_what_the_method_needs():
    config = small("ada_gvae")
    config.data.source = {"kind": "ondevice", "sampling": "replacement"}
    with pytest.raises(ValueError, match=r"got batches with image.*expected 'pair'"):
        programs.plan(config)


def test_keys_that_share_a_number_by_a_reference_to_nothing():
    config = beta_vae.get_config("toy")
    with pytest.raises(KeyError, match="stage_stps"):
        config.model.get_ref("stage_stps")


def test_a_metric_of_ones_own_in_the_rows_of_training(tmp_path):
    path = tmp_path / "metric.py"
    path.write_text(
        "from devae_jax.metrics.declaration import Metric, Score\n"
        "METRIC = Metric(run=lambda x: {'spread': float(x.codes.std()), 'protocol': 'mine'},\n"
        "    scores=(Score('spread', 'spread', 'Spread', better=None),), group='extra',\n"
        "    needs=(), protocol='mine')\n"
    )
    config = small("beta_vae", steps=20, eval__metrics=("cheap", f"{path}:METRIC"))
    run = devae_jax.train(config, tmp_path / "run")
    assert run.folder.metrics()[-1]["eval/spread"][0] > 0
    with pytest.raises(ValueError, match="trust=True"):
        devae_jax.load(tmp_path / "run")
    with pytest.raises(ValueError, match="did you mean 'METRIC'"):
        programs.plan(small("beta_vae", eval__metrics=(f"{path}:METRICS",)))


def test_a_colon_that_is_no_code_needs_no_trust(tmp_path):
    config = small("beta_vae", steps=10)
    config.method = "mine: the first"
    devae_jax.train(config, tmp_path / "run")
    assert devae_jax.load(tmp_path / "run").config.method == "mine: the first"
