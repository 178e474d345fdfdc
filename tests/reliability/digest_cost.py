"""What digests cost: python -m tests.reliability.digest_cost"""

import functools
import time

import jax

from devae_jax.configs import devae
from devae_jax.program import plan as programs
from devae_jax.training import digests
from devae_jax.training.step import init


def main():
    config = devae.get_config()
    config.data.name = "toy"
    plan = programs.plan(config)
    state = jax.jit(functools.partial(init, plan.program))(plan.hparams)
    size = sum(x.nbytes for x in jax.tree.leaves(state) if hasattr(x, "nbytes"))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        digests.of_arrays(state, members=False, together=False)
        times.append(time.perf_counter() - start)
    print(f"{size / 1e6:.1f} MB, {1e3 * sorted(times)[5]:.1f} ms (median of 10)")


if __name__ == "__main__":
    main()
