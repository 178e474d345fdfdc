"""Every config of the wrong shape ends in one line that names the key, before anything is built."""

import copy
import math
import re

import numpy as np
import pytest
from ml_collections import ConfigDict

import devae_jax
from devae_jax.configs import base, cascade_vae_c, control_vae, devae, factor_vae
from devae_jax.program import keys, schema
from devae_jax.program import plan as programs
from devae_jax.training import step as training

CONFIG = devae.get_config("toy")
DELETED = object()


def changed(key, value):
    """The config with anything at all under a key."""
    config = copy.deepcopy(CONFIG)
    *path, leaf = key.split(".")
    with config.unlocked(), config.ignore_type():
        section = config
        for name in path:
            section = section[name]
        if value is DELETED:
            del section[leaf]
        else:
            section[leaf] = value
    return config


SECTIONS = [
    *("data", "data.source", "model", "objective", "optimizer", "train", "parallel", "eval"),
    *("data.factors", "data.correlated", "data.held_out", "objective.terms", "optimizer.players"),
    "data.imbalanced",
]
MISSING = [
    *("data", "data.source", "data.source.kind", "data.name", "data.channels", "data.factors"),
    *("seed", "steps", "batch_size", "method", "matmul_precision", "model", "model.name"),
    *("model.latent_dim", "objective", "objective.name", "train", "train.keep", "parallel.mode"),
    *("eval", "eval.metrics", "optimizer"),
]
INTEGERS = [key for key in schema.LEAST if key not in ("model.num_layers",)]
NO_INTEGERS = [
    *("10", 10.0, True, [1], math.inf, math.nan, 10**40, -(10**40), 2**63, -1, b"1"),
    *(np.int64(1), np.float32(1), np.array(3), 1 + 2j, {"a": 1}, ConfigDict({"a": 1})),
]
FLAGS = ["train.tensorboard", "train.progress", "objective.any_order"]
TEXTS = ["method", "matmul_precision", "data.name", "data.path", "data.data_dir", "model.name"]
TEXTS += ["objective.name", "parallel.mode", "data.source.kind"]
UNKNOWN = ["extra", "data.extra", "train.extra", "eval.extra", "parallel.extra", "model.extra"]
UNKNOWN += ["objective.extra", "optimizer.extra", "data.source.extra", "objective.terms.kl.extra"]
UNKNOWN += ["data.correlated.extra", "data.factors.extra", "data.held_out.extra"]
UNKNOWN += ["data.imbalanced.extra"]
OTHERS = [
    ("seed", 2**32),
    ("seed", 1.0),
    ("steps", 2**31),
    ("steps", 0),
    ("eval.samples", 19),
    ("eval.samples", 2**31 - 1),
    ("method", "a\udcff"),
    ("objective.terms.kl.kind", [[]]),
    ("data.name", "tfds:"),
    ("eval.metrics", "cheap"),
    ("eval.metrics", 3),
    ("eval.metrics", None),
    ("eval.metrics", (1, 2)),
    ("eval.metrics", ConfigDict()),
    ("objective.any_order", "no"),
    ("objective.terms.kl", None),
    ("objective.terms.kl", "pressure"),
    ("objective.terms.kl.betas", (1.0, 2.0, math.inf)),
    ("objective.terms.kl.betas", np.array([1.0, 2.0, 3.0])),
    ("objective.terms.kl.betas", (np.float32(1), 2.0, 3.0)),
    ("objective.terms.kl.betas", "123"),
    ("objective.terms.kl.betas", 10**400),
    ("objective.terms.kl.betas", ((1.0, 2.0), (3.0,))),
    ("objective.terms.kl.betas", {1.0, 2.0}),
    ("objective.terms.kl.betas", object()),
    ("objective.terms.kl.kind", 3),
    ("objective.scale", "1"),
    ("objective.likelihood", 1),
    ("objective.layers", None),
    ("optimizer.b1", 2.0),
    ("optimizer.b2", 1.5),
    ("optimizer.eps", math.nan),
    ("optimizer.learning_rate", None),
    ("optimizer.learning_rate", "1e-4"),
    ("optimizer.players", {"model": 3}),
    ("optimizer.players", {"model": {"learning": 1.0}}),
    ("optimizer.players", {"modle": {"learning_rate": 1.0}}),
    ("data.factors", {"shape": 0}),
    ("data.factors", {"shape": ()}),
    ("data.factors", {"shape": "01"}),
    ("data.factors", {"shape": (0.5,)}),
    ("data.factors", {"shape": (99,)}),
    ("data.held_out", {"shape": None}),
    ("data.correlated", {"first": "scale"}),
    ("data.correlated", {"first": "scale", "second": "shape"}),
    ("data.correlated", {"first": "scale", "second": "shape", "sigma": math.inf}),
    ("data.correlated", {"first": "scale", "second": "shape", "sigma": "wide"}),
    ("data.correlated", {"first": "scale", "second": 1, "sigma": 1.0}),
    ("data.correlated", {"first": "scale", "second": "scale", "sigma": 1.0}),
    ("data.correlated", {"first": "scale", "second": "shape", "sigma": -1.0}),
    ("data.imbalanced", {"shape": 1.0}),
    ("data.imbalanced", {"shape": (1.0, "2", 3.0)}),
    ("data.imbalanced", {"shape": (1.0, math.nan, 3.0)}),
    ("data.imbalanced", {"shape": (1.0, 2.0, 3.0)}),
    ("data.imbalanced", {"shape": (1.0, -2.0)}),
    ("data.imbalanced", {"shape": (1.0, 0.0)}),
    ("data.imbalanced", {"shapes": (1.0, 1.0)}),
    ("data.nuisance", "shape"),
    ("data.nuisance", (1,)),
    ("data.nuisance", ("shapes",)),
    ("data.nuisance", ("shape", "shape")),
    ("data.noise", -0.1),
    ("data.noise", math.nan),
    ("data.noise", "0.1"),
    ("data.path", "a\0b"),
    ("data.channels", "1"),
    ("data.channels", 0),
    ("data.source.sampling", 3),
    ("data.source.kind", "on device"),
    ("parallel.mode", "pmapp"),
    ("model.width", "8"),
    ("model.width", 2**40),
    ("model.encoder", 5),
    ("model.latents", ["dit"]),
    ("model.num_layers", True),
    ("model.num_layers", 0),
    ("model.num_layers", 10**8),
    ("model.latent_dim", 10**9),
    ("model.width", 10**9),
    ("data.image_size", 100_000),
    ("batch_size", 2**31 - 1),
    ("sweep", (("seed", (0, 1)),)),
    ("train.log_every", 7),
]
BAD = [
    *[(key, value) for key in SECTIONS for value in (None, 3, "text", (), ["a"])],
    *[(key, DELETED) for key in MISSING],
    *[(key, None) for key in INTEGERS if key != "data.channels"],
    *[(key, value) for key in INTEGERS for value in NO_INTEGERS],
    *[(key, value) for key in FLAGS for value in ("no", 1, None, np.True_)],
    *[(key, value) for key in TEXTS for value in (None, 3, ("a",), b"a")],
    *[(key, 1.0) for key in UNKNOWN],
    *OTHERS,
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_one_line_names_the_key(key, value):
    with pytest.raises(ValueError, match="expected") as caught:
        programs.plan(changed(key, value))
    message = str(caught.value)
    assert "\n" not in message, message
    assert len(message) < 500
    words = (*key.split("."), "factor", "model")
    assert any(word in message for word in words), message


@pytest.mark.parametrize(
    ("module", "term", "changes"),
    [
        *((factor_vae, "discriminator", {"width": value}) for value in (0, -1, 10**6)),
        *((factor_vae, "discriminator", {"depth": value}) for value in (-1, 101, 10**6)),
        (control_vae, "kl", {"beta_min": 50.0, "beta_max": 1.0}),
        (cascade_vae_c, "kl", {"beta_min": 50.0, "beta_max": 1.0}),
    ],
)
def test_options_of_terms_out_of_bounds(module, term, changes):
    config = module.get_config("toy")
    with config.unlocked():
        config.objective.terms[term].update(changes)
    key = f"objective.terms.{term}.{next(iter(changes))}"
    with pytest.raises(ValueError, match=rf"got {re.escape(key)}=.*, expected"):
        programs.plan(config)


def test_there_are_hundreds():
    assert len(BAD) > 400


@pytest.mark.parametrize("config", [None, 3, "devae", [1], {"seed": 1}, base])
def test_no_config_at_all(config):
    with pytest.raises(ValueError, match="expected a ConfigDict"):
        programs.plan(config)


@pytest.mark.parametrize(
    "given",
    [
        *({"steps": "10"}, {"data": "x"}, {"data": None}, {"extra": 1}, {"train": {"extra": 1}}),
        *({"eval": {"metrics": 5}}, {"objective": {"terms": 5}}, {5: 1}, {"": 1}, {"model": []}),
        *({"objective": {"terms": {"kl": 5}}}, {"seed": np.int32(3)}, 7, None, "devae"),
    ],
)
def test_a_dict_of_the_wrong_shape_leaves_no_folder(given, tmp_path):
    with pytest.raises(ValueError, match="expected"):
        devae_jax.train(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "numbers",
    [
        *({"seed": 1.5}, {"seed": -1}, {"seed": None}, {"seed": "1"}, {"seed": 2**32}),
        *({"objective.scale": np.float32(1)}, {"objective.scale": (1.0, 2.0)}, {"steps": 5}),
    ],
)
def test_members_of_the_wrong_type(numbers):
    with pytest.raises(ValueError, match="expected"):
        programs.plan(CONFIG, [numbers])


def test_the_schema_is_the_bases():
    """Every key of the base is checked: any other type of value is refused."""
    for key, value in keys.flatten(CONFIG).items():
        if key.startswith("objective.terms"):
            continue
        with pytest.raises(ValueError, match=re.escape(key.split(".")[-1])):
            schema.check(changed(key, object()))
        unset = ("data.channels", "model.width", "model.remat", "data.source.")
        assert value is not None or key.startswith(unset)


def test_a_config_as_it_is_saved_is_one():
    programs.plan(ConfigDict(keys.to_json(CONFIG)))


def test_memory_is_estimated_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(schema, "memory_bytes", lambda: 10**5)
    monkeypatch.setattr(training, "init", None)
    with pytest.raises(ValueError, match=r"networks.*machine"):
        programs.plan(changed("eval.samples", 20))
