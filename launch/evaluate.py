"""Scores a run, on any machine: python launch/evaluate.py --workdir=runs/a --metrics=all

Prints a table and writes W/scores.json; model and data are rebuilt from the checkpoint alone.
"""

from absl import flags

from devae_jax.launch import common

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_STEP = flags.DEFINE_integer("step", None, "Which checkpoint; default the newest.")
_MEMBER = flags.DEFINE_integer("member", None, "Which member, if the run is a population.")
_METRICS = flags.DEFINE_list("metrics", ["cheap"], "Names, or cheap, or all, or file.py:METRIC.")
_PROTOCOL = flags.DEFINE_string("protocol", "dlib", "dlib: as papers print; exact: whole grid.")
_LAYERS = flags.DEFINE_list("layers", ["all"], "Latent layers: all, or numbers.")
_REPRESENTATIONS = flags.DEFINE_list("representations", ["mean"], "Of mean and sampled.")
_TRUST = flags.DEFINE_bool("trust", False, "Run the Python files that the run's config names.")
_IMAGES = flags.DEFINE_string("images", "all", "Or trained, held_out: of data.held_out.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Evaluation seeds, for intervals.", lower_bound=1)


def main() -> None:
    common.enable_compilation_cache()
    from devae_jax.evaluation.rows import table
    from devae_jax.program import references
    from devae_jax.runs.results import score
    from devae_jax.runs.run import load

    layers = _LAYERS.value
    if layers != ["all"] and not all(layer.isdigit() for layer in layers):
        raise ValueError(f"got --layers={','.join(layers)}, expected all or numbers; fix it")
    rows = score(
        load(_WORKDIR.value, step=_STEP.value, member=_MEMBER.value, trust=_TRUST.value),
        metrics=[
            references.load(name, "--metrics") if references.is_reference(name) else name
            for name in _METRICS.value
        ],
        protocol=_PROTOCOL.value,
        layers="all" if layers == ["all"] else [int(layer) for layer in layers],
        representations=_REPRESENTATIONS.value,
        seeds=range(_SEEDS.value),
        images=_IMAGES.value,
    )
    print(table(rows))


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
