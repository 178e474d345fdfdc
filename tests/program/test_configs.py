"""Every config file, every variant: what they name exists, and their schedules end in time."""

import importlib
from pathlib import Path

import jax
import pytest

from devae_jax.configs import variants
from devae_jax.data import SOURCES
from devae_jax.models import MODELS
from devae_jax.objectives import METHODS, OBJECTIVES, TERMS
from devae_jax.program import keys, specs
from devae_jax.program import plan as programs
from devae_jax.program.hyper import signature
from devae_jax.training.optim import adam
from devae_jax.training.step import Layout

ROOT = Path(__file__).parents[2]
OWN = {  # variants of one file alone
    "beta_vae": ("vae",),
    "beta_tcvae": ("stratified", "paper"),
    "devae": ("capacity", "sampled", "single", "parallel", "linear", "sampled,parallel"),
    "infogan": ("minimax",),
    "ada_gvae": ("ml_vae", "any_number", "temporal"),
    "quickstart": ("beta_vae",),
}
FILES = sorted(
    path.stem
    for path in (ROOT / "configs").glob("*.py")
    if path.stem not in ("__init__", "base", "variants")
)
CONFIGS = [
    (file, arg) for file in FILES for arg in ("", *variants.VARIANTS, *OWN.get(file, ()))
] + [("devae", "capacity,shapes3d,cpu"), ("beta_tcvae", "stratified,quickstart")]


def get(file, arg):
    return importlib.import_module(f"devae_jax.configs.{file}").get_config(arg)


@pytest.mark.parametrize(("file", "arg"), CONFIGS)
def test_config_is_valid_and_its_schedules_end_in_time(file, arg):
    config = get(file, arg)
    specs.read(config)
    for path, (_, value) in specs.roles(config, "duration").items():
        section = keys.config_at(config, path.rpartition(".")[0])
        count = {"cascade": config.model.latent_dim - 1}.get(section.get("kind"), 1)
        groups = config.model.get("groups", 1) if path.endswith("stage_steps") else 1
        count = max(count, groups - 1)
        assert value * count < config.steps or value == config.steps, path


@pytest.mark.parametrize(("file", "arg"), [(f, a) for f in FILES for a in ("", *OWN.get(f, ()))])
def test_config_names_every_hyperparameter(file, arg):
    """So that each can be set on the command line, and swept."""
    config = get(file, arg)
    parts = [
        (MODELS[config.model.name], config.model),
        (OBJECTIVES[config.objective.name], config.objective),
        (SOURCES[config.data.source.kind], config.data.source),
        (adam, config.optimizer),
    ]
    parts += [(TERMS[term.kind], term) for term in config.objective.terms.values()]
    for factory, options in parts:
        missing = set(signature(factory).options) - set(options)
        assert not missing, f"{factory.__name__} lacks {missing}"


@pytest.mark.parametrize("method", METHODS)
def test_registry_and_configs_agree(method):
    path, _, arg = METHODS[method].config.partition(":")
    assert get(Path(path).stem, arg).method == method


def test_beta_tcvae_on_shapes3d_has_the_beta_of_the_comparison():
    assert get("beta_tcvae", "shapes3d").objective.terms.tc.weight == 11.0


@pytest.mark.parametrize(
    ("file", "arg", "told"),
    [
        ("devae", "smapled", "did you mean 'sampled'"),
        ("devae", "capacity,single", "expected pressures"),
    ],
)
def test_bad_variants(file, arg, told):
    with pytest.raises(ValueError, match=told):
        get(file, arg)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objective.layers": "smapled"}, "did you mean 'sampled'"),
        ({"objective.terms.kl.betas": None}, "got no objective.terms.kl.betas"),
        ({"objective.terms.kl.kind": "presure"}, "did you mean 'pressure'"),
        ({"objective.likelihood": None}, r"objective.likelihood=None \(NoneType\), expected str"),
        ({"objective.likelihood": "bernouli"}, "did you mean 'bernoulli'"),
        ({"optimizer.b1": 2.0}, "expected < 1"),
        ({"objective.name": "infogan"}, "got objective.layers, expected one of critic_steps"),
        (
            {"model.name": "gan", "model.noise_dim": 5},
            "got model.*, expected one of init, noise_dim",
        ),
    ],
)
def test_bad_values(changes, told):
    config = get("devae", "toy")
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=told):
        programs.plan(config)


def test_a_game_takes_no_terms():
    config = get("infogan", "toy")
    config.objective.terms = {"kl": {"kind": "pressure", "betas": (1.0,)}}
    with pytest.raises(ValueError, match="terms"):
        programs.plan(config)


def test_no_term_takes_the_name_of_the_model():
    config = get("beta_vae", "toy")
    config.objective.terms.model = {"kind": "pressure", "betas": (1.0,)}
    with pytest.raises(ValueError, match="a term called 'model'"):
        programs.plan(config)


def test_a_game_needs_two_players():
    config = get("devae", "toy")
    config.objective = get("infogan", "toy").objective
    with pytest.raises(ValueError, match="Gan"):
        programs.plan(config)


def test_one_capacity_is_not_a_decremental_bottleneck():
    config = get("devae", "capacity,toy")
    config.objective.terms.kl.capacities = (8.0,)
    with pytest.raises(ValueError, match=r"1 values for model\.num_layers=3"):
        programs.plan(config)
    config.objective.any_order = True
    programs.plan(config)


@pytest.mark.parametrize(
    ("encoder", "size", "features"),
    [("conv", 64, 256), ("mlp", 64, 1200), ("residual", 128, 512), ("resnet50", 64, 2048)],
)
def test_networks_have_their_published_width(encoder, size, features):
    """The last dense layer of the encoder reads as many features as published."""
    config = get("devae", "")
    config.data.name, config.data.image_size = "toy_rgb", size
    config.model.encoder = encoder
    config.model.decoder = "conv"
    plan = programs.plan(config)
    objective = plan.program.objective(plan.hparams, Layout())
    params, _ = jax.eval_shape(objective.init, jax.random.key(0))
    head = params["model"]["encoder"]["head"]["kernel"]
    assert features in head.shape


def test_deft_has_one_length_of_a_stage():
    """Two keys share one number: setting either sets both, also in a sweep and by a variant."""
    config = get("deft", "toy")
    assert config.model.stage_steps == config.objective.terms.kl.stage_steps == 40.0
    config.model.stage_steps = 17.0
    hparams = programs.plan(config).hparams
    assert hparams["model.stage_steps"] == hparams["objective.terms.kl.stage_steps"] == 17.0


def test_shortening_a_run_shortens_all_that_lasts_a_while():
    config = get("dynamic_vae", "")
    before = {path: value for path, (_, value) in specs.roles(config, "duration").items()}
    variants.shorten(config, config.steps // 10)
    after = {path: value for path, (_, value) in specs.roles(config, "duration").items()}
    assert {path.rpartition(".")[2] for path in before} == {
        "target_steps",
        "interval_steps",
        "ramp_steps",
        "warmup_steps",
        "decay_steps",
    }
    for path, value in before.items():
        assert after[path] == pytest.approx(value / 10)
    assert config.objective.terms.kl.k_i == pytest.approx(0.01)  # what a step adds: ten times more
