"""One training step against plain PyTorch, in the same run: batch 64 and 256, K = 1 and 3."""

import contextlib

import jax

from devae_jax.launch.benchmarks import runs, twin
from devae_jax.launch.benchmarks.measure import Options, Row, interleave, matmul
from devae_jax.program import plan as programs
from devae_jax.training.engine import engine


def run(options: Options) -> list[Row]:
    """Rows for each batch size and K.

    "fixed batch": the step alone, against the twin in PyTorch's two memory layouts, in this process
    and in one of its own that does not keep freed memory: as PyTorch's users have it.
    "with data": batches drawn in the step, against the twin fed by a DataLoader.
    The floor is the step's arithmetic at the speed of a 2048^2 matrix product, best of the run.
    """
    twin.load_torch()
    if jax.default_backend() != "cpu":
        raise ValueError(
            f"got {jax.default_backend()}, expected a CPU: there `gpu` compares the step; set "
            "JAX_PLATFORMS=cpu or use that"
        )
    cases = [(64, 1), (64, 3), (256, 1), (256, 3)]
    if options.tiny:
        cases = [(8, 1)]
    seconds = options.minutes * 60 / len(cases)
    return [row for batch, layers in cases for row in _rows(options, batch, layers, seconds)]


def _rows(options: Options, batch: int, layers: int, seconds: float) -> list[Row]:
    networks = {"model.encoder": "conv", "model.decoder": "conv"}
    config = runs.config(options, batch=batch, layers=layers, **networks)
    plan = programs.plan(config)
    images = runs.images_of(plan.program)
    betas = runs.BETAS[:layers]
    steps = max(1, (16 if options.tiny else 256) // batch)  # a call: dispatched ahead
    product, gemm = matmul(256 if options.tiny else 2048)
    shape = {"latent_dim": config.model.latent_dim, "width": config.model.width}
    threads = twin.choose_threads(twin.stepper(images, betas, **shape))

    def ours(program):
        return runs.stepper(engine(program, plan.hparams, devices=jax.devices()[:1]), steps)

    def peer(batches=None, **how):
        step = twin.stepper(images, betas, **shape, **how)
        if batches is None:
            return lambda: [step() for _ in range(steps)]
        return lambda: [step(next(batches)) for _ in range(steps)]

    layouts = {"torch": False, "torch channels_last": True}
    with contextlib.ExitStack() as stack:
        apart = {
            f"{name}, apart": stack.enter_context(
                twin.apart(images, betas, steps=steps, threads=threads, channels_last=last, **shape)
            )
            for name, last in layouts.items()
        }
        times = interleave(
            {
                "gemm": product,
                "fixed": ours(runs.fixed(plan.program, images)),
                "data": ours(plan.program),
                **{name: peer(channels_last=last) for name, last in layouts.items()},
                **apart,
                "torch + DataLoader": peer(twin.loader(images, batch)),
            },
            seconds=seconds,
            turn=0.02 if options.tiny else 0.5,
        )
    floor = runs.gigaflop(config, plan.dataset.image_shape) / gemm * times["gemm"].minimum

    def row(what, name, peer, **facts):
        mine, other = times[name], times[peer]
        return Row(
            "step",
            f"batch {batch}, K = {layers}, {what}",
            mine.median / steps,
            peer,
            other.median / steps,
            floor,
            {
                "min_ms": mine.minimum / steps,
                "peer_min_ms": other.minimum / steps,
                "min_speedup": other.minimum / mine.minimum,
                "cpu_ms": mine.cpu / steps,
                "peer_cpu_ms": "-" if peer in apart else other.cpu / steps,
                "peer_threads": threads,
                **facts,
            },
        )

    return [
        *(row("fixed batch", "fixed", peer) for peer in (*layouts, *apart)),
        row("with data", "data", "torch + DataLoader", **runs.megabytes(plan)),
    ]
