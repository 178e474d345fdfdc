"""One batch split over some of the fake devices, as the training step splits it."""

import functools

import jax
from jax.sharding import PartitionSpec

AXIS = "data"


def split(function, devices):
    """(everywhere, batch) -> mean over the devices of function(everywhere, their rows), compiled.

    `everywhere` is the same for all; leaves of `batch` are [B, ...].
    """
    mesh = jax.make_mesh((devices,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    def mean(everywhere, batch):
        return jax.lax.pmean(function(everywhere, batch), AXIS)

    return jax.jit(mean)
