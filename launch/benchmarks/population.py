"""A population in one program against its members trained one after another."""

import jax

from devae_jax.launch.benchmarks import runs
from devae_jax.launch.benchmarks.measure import Options, Row, interleave
from devae_jax.program import plan as programs
from devae_jax.training.engine import engine
from devae_jax.training.platform import Form


def run(options: Options) -> list[Row]:
    """Rows for the engine's choice on this platform and for the fused form, a step of all members.

    Members differ in seed and pressure.
    """
    count = 2 if options.tiny else 4
    config = runs.config(options, batch=8 if options.tiny else 64, layers=1)
    members = [{"seed": i, "objective.terms.kl.betas": (1.0 + i,)} for i in range(count)]
    plan = programs.plan(config, members)
    steps = 4
    one = jax.devices()[:1]
    solo = [
        runs.stepper(engine(plan.program, member.hparams, devices=one), steps)
        for member in plan.members
    ]

    def together(form):
        stacked = programs.stacked(plan)
        bound = engine(plan.program, stacked, members=count, devices=one, form=form)
        return runs.stepper(bound, steps)

    times = interleave(
        {
            "one after another": lambda: [call() for call in solo],
            "default": together(None),
            "fused": together(Form(scan=True, together=True)),
        },
        seconds=options.minutes * 60,
        turn=0.02 if options.tiny else 0.5,
    )
    peer = times["one after another"]

    def row(name):
        facts = {"min_speedup": peer.minimum / times[name].minimum}
        case = f"{count} members, {name}"
        ours = times[name].median / steps
        return Row("population", case, ours, "one after another", peer.median / steps, None, facts)

    return [row("default"), row("fused")]
