"""Draws a run: python launch/visualize.py --workdir=runs/quickstart

Samples, reconstructions and traversals of every latent layer (PNG and GIF), mutual
information, training curves, information diffusion and one page, figures/report.html.
"""

from absl import flags

from devae_jax.launch import common

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_STEP = flags.DEFINE_integer("step", None, "Which checkpoint; default the newest.")
_MEMBER = flags.DEFINE_integer("member", None, "Which member, if the run is a population.")
_TRUST = flags.DEFINE_bool("trust", False, "Run the Python files that the run's config names.")


def main() -> None:
    common.enable_compilation_cache()
    from devae_jax.runs.results import draw
    from devae_jax.runs.run import load

    run = load(_WORKDIR.value, step=_STEP.value, member=_MEMBER.value, trust=_TRUST.value)
    for name, path in draw(run).items():
        print(f"{name:32} {path}")


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
