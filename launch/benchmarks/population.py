"""A population in one program against its members trained one after another."""

import jax

from devae_jax import build
from devae_jax.train import parallel, population
from launch.benchmarks import runs
from launch.benchmarks.measure import Options, Row, interleave


def run(options: Options) -> list[Row]:
    """Rows for the engine's choice on this platform and for the fused form, a step of all members.

    Members differ in seed and pressure.
    """
    members = 2 if options.tiny else 4
    config = runs.config(options, batch=8 if options.tiny else 64, layers=1)
    plan = build.plan(config)
    each = []
    for seed in range(members):
        config.seed = seed
        config.objective.terms.kl.betas = (1.0 + seed,)
        each.append(build.hyperparameters(config))
    steps = 4
    one = jax.devices()[:1]
    solo = [runs.stepper(parallel.engine(plan.program, own, devices=one), steps) for own in each]

    def engine(fuse):
        stacked = population.stack(each)
        return runs.stepper(population.engine(plan.program, stacked, devices=one, fuse=fuse), steps)

    times = interleave(
        {
            "one after another": lambda: [call() for call in solo],
            "default": engine(None),
            "fused": engine(True),
        },
        seconds=options.minutes * 60,
        turn=0.02 if options.tiny else 0.5,
    )
    peer = times["one after another"]

    def row(name):
        facts = {"min_speedup": peer.minimum / times[name].minimum}
        case = f"{members} members, {name}"
        ours = times[name].median / steps
        return Row("population", case, ours, "one after another", peer.median / steps, None, facts)

    return [row("default"), row("fused")]
