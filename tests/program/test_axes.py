"""What `config.sweep` may say, the axes of a grid or settings, and what is refused in one line."""

import pytest

from devae_jax.configs import devae
from devae_jax.program import axes, sweep
from tests.launch.commands import call


@pytest.mark.parametrize(
    "asked",
    [
        *(3, None, "seed", (), {}, {"seed": (0, 1)}, (3,), ("seed",), (("seed",),), ((1, (2,)),)),
        *((("seed", ()),), (("seed", 3),), (("seed", "01"),), (("seed", (1, 1)),)),
        *((("seed", (0,)), ("seed", (1,))), (("a", ([1, 2], (1, 2))),), (("seed", {0, 1}),)),
        *([{}], [{"seed": 0}, {}], [{"seed": 0}, 3], [{"seed": 0}, ("seed", (1,))], [{1: 2}]),
        *([{"seed": 0}, {"seed": 1}, {"seed": 0}], [{"a": 1, "b": [2]}, {"b": (2,), "a": 1}]),
    ],
)
def test_a_sweep_that_is_none(asked):
    with pytest.raises(ValueError, match="sweep") as error:
        axes.settings_of(asked)
    assert "expected" in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_grid_and_a_list_of_settings():
    assert axes.settings_of([["seed", [0, 1]], ("b", (True, 1, 1.0))]) == [
        {"seed": seed, "b": b} for seed in (0, 1) for b in (True, 1, 1.0)
    ]
    settings = [{"seed": 0}, {"objective.scale": 0.5, "seed": 0}, {"seed": 1}]
    assert axes.settings_of(settings) == axes.settings_of(tuple(settings)) == settings


def test_settings_become_programs_as_a_grid_does():
    """Those with other keys too: a member has its own, and else what the config says."""
    config = devae.get_config("toy")
    pairs = (("model.latent_dim", (4, 10)), ("seed", (0, 1)))
    assert sweep.plan(config, axes.grid(pairs)) == sweep.plan(config, pairs)
    widths = axes.zipped([("model.latent_dim", (4, 10)), ("model.width", (8, 16))])
    groups = sweep.plan(config, [*widths, {"objective.scale": 0.5}, {"seed": 3}])
    assert [(group.name, group.members) for group in groups] == [
        ("latent_dim=4,width=8", [{}]),
        ("latent_dim=10,width=16", [{}]),
        ("all", [{"objective.scale": 0.5}, {"seed": 3}]),
    ]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"objective.scal": 0.5}, "did you mean 'objective.scale'"),
        ({"model": {"latent_dim": 4}}, "got sweep axis 'model', expected a key of the config"),
        ({"seed": "0"}, r"got seed='0' \(str\), expected int"),
        ({"model.latent_dim": 0}, "got model.latent_dim=0"),
        ({"objective.terms.kl.betas": (1.0, 40.0, 10.0)}, "decremental"),
    ],
)
def test_a_setting_is_checked_as_a_value_of_a_grid_is(setting, told):
    with pytest.raises(ValueError, match=told) as error:
        sweep.plan(devae.get_config("toy"), [{"seed": 1}, setting])
    assert len(str(error.value).splitlines()) == 1


def test_the_command_takes_settings(tmp_path):
    """Of a config file, drawn anew by every process, and of the command line."""
    at = ["--config=sweeps/drawn", f"--workdir={tmp_path}/drawn"]
    first, second = (call("sweep", *at, "--plan") for _ in range(2))
    assert first == second and "program 2/2: latent_dim=10,width=16, 8 members" in first
    assert first.count("'optimizer.learning_rate': ") == 16
    toy = ["--config=sweeps/toy", f"--workdir={tmp_path}/toy"]
    at = [*toy, "--config.sweep=({'seed':5,'model.latent_dim':3},{'seed':6})"]
    assert "program 1/2: latent_dim=3, 1 members\n  {'seed': 5}" in call("sweep", *at, "--plan")
    assert "2 members in 2 programs: 2 waiting" in call("sweep", *at, "--status")
    twice = "--config.sweep=({'seed':5},{'seed':5})"
    refused = call("sweep", *toy, twice, "--plan", code=2)
    assert refused.startswith("error: got {'seed': 5} (dict) as settings 0 and 1 of the sweep")
    assert len(refused.splitlines()) == 1
