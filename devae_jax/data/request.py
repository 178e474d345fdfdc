"""What is asked of a data set, the same for every loader: `loader(request) -> Dataset`."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

REASONS = {
    "factors": "has no factors",
    "path": "is not read from a path",
    "channels": "has its own channels",
    "continuous": "says itself which factors are continuous",
}


class Request(NamedTuple):
    """Options of a data set, each the key of that name in `config.data`.

    data_dir: where rendered tables are cached; empty: devae_jax in the user's cache
    factors: keep only these values, {"shape": [0], "scale": [2, 3]}; a factor left
        with one value is no longer a factor
    image_size: side of the images in pixels; None: as they are
    path: the user's own file or folder
    channels: 1 (grey) or 3 (colour) for pictures read from files; None: colour, or as declared
    on_error: what an unreadable picture of a folder does: "stop" when it is read, or "skip" it,
        after which all are read once at the start
    continuous: names of the user's factors that are measures although they are whole numbers
    progress: show a bar while tables are drawn
    """

    data_dir: str | os.PathLike = ""
    factors: Mapping[str, Sequence[int]] | None = None
    image_size: int | None = None
    path: str | os.PathLike = ""
    channels: int | None = None
    on_error: str = "stop"
    continuous: Sequence[str] = ()
    progress: bool = True


def refuse(request: Request, name: str, *options: str) -> None:
    """Raises ValueError if one of these options, names in REASONS, is set for `name`."""
    for option in options:
        value = getattr(request, option)
        if value not in (None, "", {}, ()):
            raise ValueError(
                f"got data.{option}={value!r} for {name!r}, which {REASONS[option]}, expected "
                "none; remove it"
            )
