"""Draws a run, or a data set.

    python launch/visualize.py --workdir=runs/quickstart
    python launch/visualize.py --data=lobes --out=figures

Of a run: samples, reconstructions and traversals of every latent layer (PNG and GIF), mutual
information, training curves, information diffusion and one page, figures/report.html.
Of a data set, by its name in `config.data.name`: a sheet of samples, and one traversal of each
factor, data_NAME.png and data_NAME_factors.png.
"""

from pathlib import Path

from absl import flags

from devae_jax.launch import common

SHOWN, STEPS = 40, 10  # images of a sheet, and of a traversal

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_STEP = flags.DEFINE_integer("step", None, "Which checkpoint; default the newest.")
_MEMBER = flags.DEFINE_integer("member", None, "Which member, if the run is a population.")
_TRUST = flags.DEFINE_bool("trust", False, "Run the Python files that the run's config names.")
_DATA = flags.DEFINE_string("data", None, "Name of a data set, instead of a run.")
_PATH = flags.DEFINE_string("path", "", "Its file or folder, as config.data.path.")
_SIZE = flags.DEFINE_integer("image_size", None, "Its image size, as config.data.image_size.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "As config.data.data_dir.")
_OUT = flags.DEFINE_string("out", "figures", "Folder for the pictures of a data set.")


def main() -> None:
    common.enable_compilation_cache()
    if _DATA.value and not _WORKDIR.value:
        draw_data(_DATA.value)
    elif _WORKDIR.value and not _DATA.value:
        draw_run(_WORKDIR.value)
    else:
        raise ValueError("got neither or both of --workdir and --data, expected one; see --help")


def draw_run(workdir: str) -> None:
    from devae_jax.runs.results import draw
    from devae_jax.runs.run import load

    run = load(workdir, step=_STEP.value, member=_MEMBER.value, trust=_TRUST.value)
    for name, path in draw(run).items():
        print(f"{name:32} {path}")


def draw_data(name: str) -> None:
    import numpy as np

    from devae_jax import data
    from devae_jax.data.traversals import traversals
    from devae_jax.viz.images import samples
    from devae_jax.viz.save import save
    from devae_jax.viz.sheet import sheet

    request = data.Request(path=_PATH.value, image_size=_SIZE.value, data_dir=_DATA_DIR.value)
    dataset = data.load(name, request)
    drawn = np.random.RandomState(0).permutation(dataset.size)[:SHOWN]
    title = f"{dataset.name}: {dataset.size:,} images"
    pictures = {"": samples(data.images_of(dataset, drawn), title=title)}
    labels = data.labels_of(dataset)
    if labels is not None:
        numbers = traversals(labels, dataset.size, steps=STEPS)
        cells = data.images_of(dataset, numbers.ravel())
        cells = cells.reshape(*numbers.shape, *dataset.image_shape)
        held = "others held" if labels.grid is not None else "others nearest to one image's"
        title = f"{dataset.name}: one factor a row, {held}"
        pictures["_factors"] = sheet(cells, title=title, rows=labels.names)
    for suffix, picture in pictures.items():
        print(save(Path(_OUT.value) / f"data_{name}{suffix}.png", picture))


def console() -> None:
    common.run(main)


if __name__ == "__main__":
    console()
