"""Whether the tables on disk are what was written."""

import os

from devae_jax.data import cache, dsprites_regen, published, real, shapes3d_like
from devae_jax.data.published import pack

LAYOUTS = {
    "dsprites_regen": dsprites_regen.LAYOUT,
    "shapes3d_like": shapes3d_like.LAYOUT,
    **{name: real.layout(kind) for name, kind in real.KINDS.items()},
    **{name: pack.layout(kind) for name, kind in published.KINDS.items()},
}


def verify(data_dir: str | os.PathLike = "") -> dict[str, str]:
    """The data sets with a table in the cache, and its sha256.

    Raises ValueError where there is none, and where one is damaged, with the names of all that are.
    """
    folder = cache.folder(data_dir)
    paths = {name: folder / f"{name}.npy" for name in LAYOUTS}
    good, damaged = {}, []
    for name, path in paths.items():
        if path.exists():
            try:
                good[name] = cache.read(path, LAYOUTS[name])[1]
            except cache.DamagedError as error:
                damaged.append(str(error))
    if damaged:
        raise ValueError(f"{'; '.join(damaged)}; remove what is damaged and make it again")
    if not good:
        raise ValueError(
            f"got no tables in {folder}, expected one of {', '.join(LAYOUTS)}; fix --data_dir"
        )
    return good
