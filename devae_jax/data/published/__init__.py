"""The data sets that papers report, read from the files in which they are published."""

import functools
import os
from pathlib import Path

from devae_jax.data.known import verify_all
from devae_jax.data.published import (
    cars3d,
    celeba,
    highres,
    ident3d,
    mpi3d,
    msd,
    pack,
    smallnorb,
    sprites,
)
from devae_jax.data.published.kind import Kind, Raw
from devae_jax.data.request import Request
from devae_jax.names import lookup
from devae_jax.types import Dataset

KINDS: dict[str, Kind] = {
    **mpi3d.KINDS,
    **cars3d.KINDS,
    **smallnorb.KINDS,
    **highres.KINDS,
    **ident3d.KINDS,
    **celeba.KINDS,
    **sprites.KINDS,
    **msd.KINDS,
}


def read(name: str, path: str | os.PathLike, *, verify: bool = True) -> tuple[Raw, bool]:
    """The data set `name` in the user's file or folder, and whether its hash is the known one.

    verify: compare with what is known of its files
    Raises ValueError for an unknown name, for a missing, truncated, altered or foreign file.
    """
    kind = lookup(KINDS, name, "--name")
    path = Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"got no {path}, expected {kind.path}; fix the path")
    verified = verify and verify_all(path, kind.files, name, kind.url)
    return kind.read(path, kind), verified


def _load(name: str, request: Request) -> Dataset:
    return pack.load(name, KINDS[name], request)


def _mapped(name: str, request: Request) -> Dataset:
    return pack.mapped(name, KINDS[name], request)


# Of each data set, `name` on the device and `name_mapped` on disk.
LOADERS = {
    called: functools.partial(how, name)
    for name in KINDS
    for called, how in ((name, _load), (f"{name}_mapped", _mapped))
}
