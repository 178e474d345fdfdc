"""Checks a published data set and packs it for `config.data.name`.

    python launch/prepare_data.py --from=dsprites.hdf5    # or dsprites.npz, 3dshapes.h5
    python launch/prepare_data.py --tfds=dsprites         # tfds downloads, or has prepared, it
    python launch/prepare_data.py --name=mpi3d_real --from=mpi3d_real.npz
    python launch/prepare_data.py --verify                # are the tables what was written?

docs/data.md lists the names, and what --from is for each. The packed table goes to devae_jax in
the user's cache, or to --data_dir. Needs no TensorFlow. Exit code 2 says in one line what is wrong
with the file.
"""

from pathlib import Path

from absl import flags

from devae_jax.launch import common

SEEN = ("dsprites", "shapes3d")  # whose files tell which they are

_FROM = flags.DEFINE_string("from", None, "The file or folder of the published data set.")
_NAME = flags.DEFINE_string("name", None, "Which data set it is, if not dsprites or shapes3d.")
_SIZE = flags.DEFINE_integer("image_size", None, "Side of the packed images; by default 64.")
_TFDS = flags.DEFINE_enum("tfds", None, SEEN, "Take it from tfds.")
_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Where tfds keeps its data sets.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "Where to write; the same as config.data.data_dir.")
_UNVERIFIED = flags.DEFINE_bool(
    "unverified", False, "Accept a file or a grid that differs from the published one."
)
_VERIFY = flags.DEFINE_bool(
    "verify", False, "Check every prepared and rendered table in --data_dir, prepare nothing."
)


def main() -> None:
    if _VERIFY.value:
        from devae_jax.data import verify

        for name, sha256 in verify.verify(_DATA_DIR.value).items():
            print(f"{name}: whole, sha256 {sha256}")
        return

    from devae_jax.data import Request, labels_of, load

    if bool(_FROM.value) == bool(_TFDS.value):
        raise ValueError("got neither or both of --from and --tfds, expected one; see --help")
    if _NAME.value is None or _NAME.value in SEEN:
        loader, path = _prepare_seen()
        note = ""
    else:
        loader, path, verified = _prepare_published(_NAME.value)
        note = "" if verified else "; its files were not compared with a known hash"
    dataset = load(loader, Request(data_dir=_DATA_DIR.value))
    labels = labels_of(dataset)
    assert labels is not None, "the published data sets have factors"
    sizes = iter(labels.sizes)
    factors = ", ".join(
        f"{factor} {'continuous' if measured else next(sizes)}"
        for factor, measured in zip(labels.names, labels.continuous, strict=True)
    )
    name = loader.removesuffix("_mapped")
    print(f"{name}: {dataset.size:,} images ({factors}) in {path}{note}")


def _prepare_seen() -> tuple[str, Path]:
    """dSprites or Shapes3D; its name and where it is packed."""
    from devae_jax.data import raw, real

    if _SIZE.value is not None:
        raise ValueError(
            f"got --image_size={_SIZE.value} for {' or '.join(SEEN)}, whose images are packed as "
            "they are, expected none; remove it, or name another data set with --name"
        )
    if _FROM.value:
        found = raw.read(_FROM.value, verify=not _UNVERIFIED.value)
    else:
        found = raw.from_tfds(_TFDS.value or "", _TFDS_DIR.value)
    if _NAME.value not in (None, found.name):
        raise ValueError(f"got --name={_NAME.value}, expected {found.name}, which the file is")
    path = real.prepare(found, data_dir=_DATA_DIR.value, any_grid=_UNVERIFIED.value)
    return found.name, path


def _prepare_published(name: str) -> tuple[str, Path, bool]:
    """Any other data set; its name as one that stays on disk, and whether its hash is known."""
    from devae_jax.data import published
    from devae_jax.data.published import pack

    if _TFDS.value:
        raise ValueError(f"got --tfds for {name!r}, expected --from; see --help")
    found, verified = published.read(name, _FROM.value or "", verify=not _UNVERIFIED.value)
    path = pack.prepare(
        found,
        name,
        published.KINDS[name],
        side=pack.SIDE if _SIZE.value is None else _SIZE.value,
        data_dir=_DATA_DIR.value,
        any_grid=_UNVERIFIED.value,
    )
    return f"{name}_mapped", path, verified


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
