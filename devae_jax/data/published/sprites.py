"""Sprites: figures of a video game that walk, cast a spell or slash (Li & Mandt 2018).

The folder npy/ that the scripts of YingzhenLi/Sprites write: for each action and direction, and
both halves, ACTION_DIRECTION_frames_HALF.npy, float32 [N, 8, 64, 64, 3] of intensities / 256, and
ACTION_DIRECTION_attributes_HALF.npy, [N, 8, 4, 6], one-hot.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from devae_jax.data.foreign import load_numpy
from devae_jax.data.known import OtherDataError, reading
from devae_jax.data.published.kind import Kind, Raw

ACTIONS = ("walk", "spellcard", "slash")
DIRECTIONS = ("front", "left", "right")
HALVES = ("train", "test")
CHUNK = 32  # sequences


def read(path: Path, kind: Kind) -> Raw:
    """The frames of all sequences in the folder `path`, or in npy/ in it."""
    folder = path / "npy" if (path / "npy").is_dir() else path
    labels, files = [], []
    for action, doing in enumerate(ACTIONS):
        for direction, facing in enumerate(DIRECTIONS):
            for half in HALVES:
                stem = folder / f"{doing}_{facing}"
                frames = _array(Path(f"{stem}_frames_{half}.npy"))
                looks = _array(Path(f"{stem}_attributes_{half}.npy"))
                worn = kind.sizes[:4]
                if frames.ndim != 5 or looks.shape != (*frames.shape[:2], 4, max(worn)):
                    raise OtherDataError(
                        f"got frames {list(frames.shape)} and attributes {list(looks.shape)} of "
                        f"{stem.name}, {half}, in {folder}, expected [N, 8, 64, 64, 3] and "
                        "[N, 8, 4, 6]; make them again"
                    )
                with reading(folder):
                    chosen = np.asarray(looks[:, 0]).argmax(-1)  # [N, 4]
                count, length = frames.shape[:2]
                rows = np.repeat(np.c_[chosen, np.tile([action, direction], (count, 1))], length, 0)
                labels.append(np.c_[rows, np.tile(np.arange(length), count)])
                files.append(frames)
    return Raw(np.concatenate(labels), _frames(files, folder))


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise OtherDataError(
            f"got no {path}, expected a folder with all files that the scripts of Sprites write; "
            "make them again"
        )
    with reading(path):
        return load_numpy(path, mapped=True)


def _frames(files: list[np.ndarray], folder: Path) -> Iterator[np.ndarray]:
    for frames in files:
        for start in range(0, len(frames), CHUNK):
            with reading(folder):
                part = np.asarray(frames[start : start + CHUNK], np.float32) * 256
                if not (part.min() >= 0 and part.max() < 256):
                    raise OtherDataError(
                        f"got intensities from {part.min() / 256} to {part.max() / 256} in "
                        f"{folder}, expected 0 to 255 / 256; make the files again"
                    )
            yield np.round(part).astype(np.uint8).reshape(-1, *frames.shape[2:])


KINDS = {
    "sprites": Kind(
        factors={
            "body": 6,
            "bottom": 6,
            "top": 6,
            "hair": 6,
            "action": 3,
            "direction": 3,
            "frame": 8,
        },
        channels=3,
        path="the folder npy that its scripts write",
        read=read,
        url="https://github.com/YingzhenLi/Sprites",
    )
}
