"""Checks the real dSprites or Shapes3D and packs it for `config.data.name`.

    python launch/prepare_data.py --from=dsprites.hdf5    # or dsprites.npz, 3dshapes.h5
    python launch/prepare_data.py --tfds=dsprites         # tfds downloads, or has prepared, it
    python launch/prepare_data.py --verify                # are the tables what was written?

The packed table goes to devae_jax in the user's cache, or to --data_dir. Needs no TensorFlow.
Exit code 2 says in one line what is wrong with the file.
"""

from absl import flags

from devae_jax.launch import common

_FROM = flags.DEFINE_string("from", None, "An HDF5 or npz file of the real data set.")
_TFDS = flags.DEFINE_enum("tfds", None, ["dsprites", "shapes3d"], "Take it from tfds.")
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

    from devae_jax.data import Request, raw, real

    if _FROM.value and not _TFDS.value:
        found = raw.read(_FROM.value, verify=not _UNVERIFIED.value)
    elif _TFDS.value and not _FROM.value:
        found = raw.from_tfds(_TFDS.value, _TFDS_DIR.value)
    else:
        raise ValueError("got neither or both of --from and --tfds, expected one; see --help")
    path = real.prepare(found, data_dir=_DATA_DIR.value, any_grid=_UNVERIFIED.value)
    dataset = real.load(found.name, Request(data_dir=_DATA_DIR.value))
    assert dataset.grid is not None, "the real data sets have factors"
    sizes = ", ".join(f"{n} {s}" for n, s in zip(*dataset.grid, strict=True))
    print(f"{found.name}: {dataset.size:,} images ({sizes}) in {path}")


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
