"""Which runs are one and the same, for all tables."""

from devae_jax.configs import base, beta_vae, devae
from devae_jax.program.keys import laid_over
from devae_jax.studies import make
from devae_jax.studies.setting import _base, setting


def changed(config, key, value):
    return laid_over(config, {key: value})


def test_a_setting_is_what_decides_the_numbers():
    config = devae.get_config("cpu")
    mine = setting(config)
    aside = {"method": "x", "data.data_dir": "/d", "parallel.devices": 1, "eval.metrics": ("sap",)}
    aside |= {"train.log_every": 7, "train.progress": False, "train.sinks": ("wandb",)}
    for key, value in aside.items():
        assert setting(changed(config, key, value)) == mine, key
    decides = {"seed": 1, "steps": 5, "eval.samples": 9, "train.non_finite": "skip"}
    decides |= {"objective.terms.kl.betas": (1.0, 10.0, 41.0), "model.width": 17}
    others = {setting(changed(config, key, value)) for key, value in decides.items()}
    assert len(others | {mine}) == 7
    assert setting(changed(config, "objective.terms.kl.betas", [1, 10, 40])) == mine
    # One space under the mean pressure is a β-VAE.
    assert setting(changed(beta_vae.get_config("cpu"), "objective.terms.kl.betas", (17.0,))) == (
        setting(devae.get_config("single,cpu"))
    )


def test_a_key_that_the_base_gets_changes_no_setting(monkeypatch):
    mine, later = setting(devae.get_config("cpu")), base.get_config()
    later.optimizer.clip = 0.0
    monkeypatch.setattr(base, "get_config", later.copy_and_resolve_references)
    _base.cache_clear()
    assert setting(devae.get_config("cpu")) == mine
    assert setting(changed(devae.get_config("cpu"), "optimizer.clip", 1.0)) != mine
    _base.cache_clear()


def test_tables_share_their_runs(tmp_path):
    """DeVAE, at the size of the preset `cpu`, is one run in all of these."""
    lines = {
        "figure2": "dSprites: DeVAE",
        "figure4": "DeVAE",
        "figure5": "D = 10: DeVAE",
        "table2": "DeVAE",
        "table3": "dSprites, β = [1, 10, 40]",
        "table4": "dSprites, s = 1",
        "methods": "dSprites: devae",
        "objectives": "sum over layers",
        "same_reconstruction": "DeVAE",
    }
    found, everything = {}, {}
    for name, line in lines.items():
        members = make.opened(tmp_path, name, "cpu", seeds=1, fit=False).members
        everything[name] = {member.setting for member in members}
        found[name] = [m.setting for m in members if m.line.label == line]
    assert len({tuple(each) for each in found.values()}) == 1 and len(found["figure2"]) == 1
    assert everything["figure2"] < everything["methods"] and len(everything["figure2"]) == 8
