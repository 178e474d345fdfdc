"""Every config file, every variant: what they name exists, and their schedules end in time."""

import importlib
import inspect
from pathlib import Path

import jax
import pytest

from configs import variants
from devae_jax import build, optim
from devae_jax.models import MODELS
from devae_jax.objectives import METHODS, OBJECTIVES, TERMS

ROOT = Path(__file__).parents[1]
OWN = {  # variants of one file alone
    "beta_vae": ("vae",),
    "beta_tcvae": ("stratified", "paper"),
    "devae": ("capacity", "sampled", "single", "parallel", "linear", "sampled,parallel"),
    "infogan": ("minimax",),
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
    return importlib.import_module(f"configs.{file}").get_config(arg)


@pytest.mark.parametrize(("file", "arg"), CONFIGS)
def test_config_is_valid_and_its_schedules_end_in_time(file, arg):
    config = get(file, arg)
    build.check_run(config)
    build.hyperparameters(config)
    for owner in (config.model, *config.objective.terms.values()):
        for name, value in owner.items():
            if name.endswith("_steps"):
                count = {"cascade": config.model.latent_dim - 1}.get(owner.get("kind"), 1)
                count = owner.get("groups", count) - ("groups" in owner)
                assert value * count < config.steps or value == config.steps, name


def provided(part):
    """Arguments that no config sets: filled in by the builder, or equal for all parts."""
    context = (*build._CONTEXT, *build._TERM_CONTEXT, "noise", "step", "init_fn")
    return {*context} | ({"stage_steps"} if part == "deft_pressure" else set())


@pytest.mark.parametrize(("file", "arg"), [(f, a) for f in FILES for a in ("", *OWN.get(f, ()))])
def test_config_names_every_hyperparameter(file, arg):
    """So that each can be set on the command line, and swept."""
    config = get(file, arg)
    parts = [(config.model.name, MODELS[config.model.name], config.model)]
    parts.append((config.objective.name, OBJECTIVES[config.objective.name], config.objective))
    parts.append(("adam", optim.adam, config.optimizer))
    parts += [(term.kind, TERMS[term.kind], term) for term in config.objective.terms.values()]
    for name, factory, options in parts:
        own = set(inspect.signature(factory).parameters) - provided(name)
        assert own <= set(options), f"{name} lacks {own - set(options)}"


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
        ({"objective.likelihood": None}, "objective.likelihood=None, expected one of"),
        ({"objective.name": "infogan"}, "takes no terms"),
        (
            {"model.name": "gan", "model.noise_dim": 5},
            "got model.*, expected one of init, latent_dim",
        ),
    ],
)
def test_bad_values(changes, told):
    config = get("devae", "toy")
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=told):
        build.plan(config)


def test_a_game_needs_two_players():
    config = get("devae", "toy")
    config.objective = get("infogan", "toy").objective
    with pytest.raises(ValueError, match=r"got model.name='vae', a Model, expected a Gan"):
        build.plan(config)


def test_one_capacity_is_not_a_decremental_bottleneck():
    config = get("devae", "capacity,toy")
    config.objective.terms.kl.capacities = (8.0,)
    with pytest.raises(ValueError, match=r"1 values for model\.num_layers=3"):
        build.plan(config)
    config.objective.any_order = True
    build.plan(config)


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
    plan = build.plan(config)
    model = plan.program.objective(plan.hparams, None)
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    params, _ = jax.eval_shape(model.init, jax.random.key(0), images)
    head = params["model"]["encoder"]["head"]["kernel"]
    assert features in head.shape


def test_deft_has_one_length_of_a_stage():
    config = get("deft", "toy")
    config.model.stage_steps = 17.0
    hparams = build.hyperparameters(config)
    assert float(hparams["model"]["stage_steps"]) == 17.0
    assert "stage_steps" not in hparams["terms.kl"]
