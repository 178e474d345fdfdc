"""Data sets whose images show their factors, and coders that are formulas."""

import jax
import jax.numpy as jnp
import numpy as np

from devae_jax.evaluation.codes import Coder
from devae_jax.types import Dataset, FactorGrid, Posterior

SIZES = np.array([3.0, 4.0, 5.0])
SMALL = {"num_train": 300, "num_test": 200, "seeds": (0, 1), "progress": False}


def factor_images(sizes=(3, 4, 5)):
    """60 images of three pixels, the factors."""
    grid = FactorGrid(("a", "b", "c"), sizes)

    def observe(arrays, factors):
        return factors[:, None, :, None] / jnp.array(SIZES)[None, None, :, None]

    return Dataset(
        name="factors",
        image_shape=(1, 3, 1),
        size=int(np.prod(sizes)),
        identity={"name": "factors"},
        observe=observe,
        grid=grid,
    )


def unlabelled(size=50):
    """Images without factors, read one by one on the host."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, 1, 3, 1)).astype(np.uint8)
    return Dataset(
        name="pictures",
        image_shape=(1, 3, 1),
        size=size,
        identity={"name": "pictures"},
        read=lambda number: pixels[number],
    )


@jax.jit
def encode(images):
    """Two layers: the pixels themselves, and half of them, with one dead latent."""
    mean = images[:, 0, :, 0]
    mean = jnp.concatenate([mean, jnp.zeros((len(mean), 1))], axis=1)
    logvar = jnp.full(mean.shape, -4.0).at[:, 3].set(0.0)
    return Posterior(mean=jnp.stack([mean, mean / 2]), logvar=jnp.stack([logvar, logvar]))


@jax.jit
def logits(z, layer):
    """Logits whose sigmoid is the pixel, from codes of either layer."""
    pixels = z[:, :3] * jnp.where(layer == 0, 1.0, 2.0)[:, None]
    pixels = jnp.clip(pixels, 1e-4, 1 - 1e-4)
    return (jnp.log(pixels) - jnp.log1p(-pixels))[:, None, :, None]


@jax.jit
def error(logits, images):
    return jnp.square(images - jax.nn.sigmoid(logits)).sum((1, 2, 3))


CODER = Coder(encode, logits, error)


def counting(counts):
    """CODER, whose encoder appends how many images it is given."""

    def spy(images):
        if not isinstance(images, jax.core.Tracer):
            counts.append(len(images))
        return encode(images)

    return CODER._replace(encode=spy)


def by_name(rows, layer=0, representation="mean"):
    return {
        row["metric"]: row
        for row in rows
        if (row["layer"], row["representation"]) == (layer, representation)
    }
