"""The rendered sets as ordinary tfds data sets, with the stock feature names.

    Rendered("dsprites_regen").download_and_prepare()
    source = tfds.data_source("dsprites_regen", split="train")

Written as ArrayRecord with PNG images, so neither writing nor reading needs TensorFlow.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from devae_jax.data import dsprites_regen, shapes3d_like
from devae_jax.data import factors as fg
from devae_jax.data.images import points_of
from devae_jax.data.request import Request
from devae_jax.names import unknown

CHUNK = 2048  # images rendered at a time
MODULES = {"dsprites_regen": dsprites_regen, "shapes3d_like": shapes3d_like}


# The base class is made lazily, so that its arguments are not known to a type checker.
class Rendered(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[misc,call-arg]  # see above
    """A tfds builder of "dsprites_regen" or "shapes3d_like", or of a subset.

    Examples hold image, label_<factor> and value_<factor>, one for every point of the
    grid; labels are the ranks of the kept values, as those of the stock builders are.
    dSprites' images stay {0, 1}.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self,
        name: str,
        *,
        data_dir: str | os.PathLike | None = None,
        factors: Mapping[str, Sequence[int]] | None = None,
        cache_dir: str | os.PathLike = "",
    ):
        """data_dir: where tfds keeps its data sets; cache_dir: where `load` keeps tables.

        Raises ValueError for an unknown name, factor or value.
        """
        if name not in MODULES:
            raise unknown("rendered data set", name, MODULES)
        self.name = name
        self._kept = fg.subset(MODULES[name].GRID, factors)
        self._dataset = MODULES[name].load(Request(data_dir=cache_dir, factors=factors))
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {"image": tfds.features.Image(shape=self._dataset.image_shape)}
        for factor, kept in zip(MODULES[self.name].GRID.names, self._kept.values, strict=True):
            features[f"label_{factor}"] = tfds.features.ClassLabel(num_classes=len(kept))
            features[f"value_{factor}"] = tfds.features.Scalar(np.float32)
        return tfds.core.DatasetInfo(
            builder=self,
            description=MODULES[self.name].__doc__,
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        module, kept, dataset = MODULES[self.name], self._kept, self._dataset
        white = 1 if self.name == "dsprites_regen" else 255

        @jax.jit
        def observe(arrays: Any, index: jax.Array) -> jax.Array:
            images = dataset.observe(arrays, points_of(dataset, index))
            return jnp.round(images * white).astype(jnp.uint8)

        count, sizes = dataset.size, tuple(map(len, kept.values))
        for start in range(0, count, CHUNK):
            index = np.arange(start, min(start + CHUNK, count))
            images = np.asarray(observe(dataset.arrays, index))
            ranks = np.stack(np.unravel_index(index, sizes), -1)
            for i, rank, image in zip(index.tolist(), ranks.tolist(), images, strict=True):
                example: dict[str, Any] = {"image": _png(image)}
                for f, factor in enumerate(module.GRID.names):
                    example[f"label_{factor}"] = rank[f]
                    example[f"value_{factor}"] = module.VALUES[f][kept.values[f][rank[f]]]
                yield i, example


def _png(image: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "png", compress_level=1)
    file.seek(0)
    return file
