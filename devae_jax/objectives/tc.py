"""Total correlation of the aggregate posterior, estimated from one mini-batch (nats).

    TC(z) = KL(q(z) || prod_d q(z_d)),    q(z) = (1/N) sum_n q(z|n) over the data set.

For a sample z_i of image i, both densities are importance-weighted sums over the batch,
q(z_i) ~ sum_j W_ij q(z_i|j), and TC ~ mean_i [log q(z_i) - sum_d log q(z_id)].
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from devae_jax.names import lookup
from devae_jax.objectives import gaussian
from devae_jax.objectives.batch import local
from devae_jax.objectives.kl import stateless
from devae_jax.types import Array, Context, Latents, Scalar, Term

_MAX_ELEMENTS = 2**22  # of the [rows, B, D] log densities held at once


def plain_weights(rows: Array, batch_size: int, dataset_size: int) -> Array:
    """log W = 0, [R, B]: constants left out, as in disentanglement_lib. Same gradients as "mws"."""
    return jnp.zeros((len(rows), batch_size))


def mws_weights(rows: Array, batch_size: int, dataset_size: int) -> Array:
    """log W = -log(N B), [R, B]: minibatch-weighted sampling, Chen et al. 2018, Section 3.1.

    TC is then that of `plain_weights` plus (D - 1) log(N B).
    """
    return jnp.full((len(rows), batch_size), -jnp.log(1.0 * batch_size * dataset_size))


def mss_weights(rows: Array, batch_size: int, dataset_size: int) -> Array:
    """log W of minibatch-stratified sampling, [R, B]: Chen et al. 2018, Appendix C.2.

    With M = B - 1, row i weighs its own image 1/N, one other image (N - M) / (N M), and
    the remaining M - 1 images 1/M; rows sum to one. The authors' code steps through the
    flattened matrix with stride B instead of B + 1, so that 1/N lands in column 0 and the
    stratified weight in column 1: there z_i is not weighed as a sample of its own image.
    """
    others = max(batch_size - 1, 1)
    rest = jnp.maximum(dataset_size - others, 0.0) / (dataset_size * 1.0 * others)
    row, column = rows[:, None], jnp.arange(batch_size)[None]
    same_image, next_image = column == row, column == (row + 1) % batch_size
    log = jnp.where(next_image, jnp.log(rest), -jnp.log(1.0 * others))
    return jnp.where(same_image, -jnp.log(1.0 * dataset_size), log)


# name: (rows [R], B, N) -> log W [R, B], the weights of all images of the batch in those rows
ESTIMATORS = {"mws": mws_weights, "mss": mss_weights, "plain": plain_weights}


def log_marginals(z: Array, mean: Array, logvar: Array, log_weights: Array) -> tuple[Array, Array]:
    """(log q(z_i), sum_d log q(z_id)) of samples z_i, each [R], nats.

    Args:
      z: [R, D], all samples of the batch or some rows of them.
      mean, logvar: [B, D], of the whole batch.
      log_weights: [R, B], those rows of the weights in `ESTIMATORS`.

    Rows are worked off in blocks, recomputed on the way back, so that memory stays
    bounded for thousands of latents.
    """

    @jax.checkpoint
    def row(z_i, weights_i):
        log_q = gaussian.log_density(z_i[None], mean, logvar)  # [B, D], over images j
        joint = logsumexp(weights_i + log_q.sum(axis=-1))
        return joint, logsumexp(weights_i[:, None] + log_q, axis=0).sum()

    rows = max(_MAX_ELEMENTS // mean.size, 1)
    return jax.lax.map(lambda xs: row(*xs), (z, log_weights), batch_size=rows)


def estimate(z: Array, mean: Array, logvar: Array, log_weights: Array) -> Array:
    """TC of one layer, nats: mean over the rows of z. Arguments as for `log_marginals`."""
    joint, product = log_marginals(z, mean, logvar, log_weights)
    return (joint - product).mean()


def total_correlation(
    context: Context,
    *,
    weight: Scalar = 5.0,
    estimator: str = "mws",
) -> Term:
    """weight TC(z_i): with `pressure(betas=1)`, beta-TCVAE for beta = 1 + weight.

    Chen et al. 2018, Eq. 4 with alpha = gamma = 1: MI + beta TC + dimension-wise KL equals
    KL + (beta - 1) TC. Where the batch is split, each device has the rows of its own samples;
    posteriors are those of the global batch.

    Args:
      context: gives N, the number of images in the data set.
      weight: beta - 1.
      estimator: "mws" (minibatch-weighted), "mss" (stratified) or "plain" (no constants,
        disentanglement_lib). "mws" and "plain" have the same gradients.

    Raises:
      ValueError: unknown estimator.
    """
    log_weights_of = lookup(ESTIMATORS, estimator, "estimator")

    def value(latents: Latents, step: Array):
        batch_size = latents.z.shape[1]
        rows = local(jnp.arange(batch_size), context.axis_name, axis=0)
        log_weights = log_weights_of(rows, batch_size, context.dataset_size)
        z, posterior = local(latents.z, context.axis_name, axis=1), latents.posterior
        tc = jnp.stack(
            [
                estimate(z[k], posterior.mean[k], posterior.logvar[k], log_weights)
                for k in range(z.shape[0])
            ]
        )
        return weight * tc, {"tc": tc}

    return stateless(value)
