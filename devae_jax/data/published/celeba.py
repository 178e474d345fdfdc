"""CelebA: faces with forty attributes (Liu et al. 2015).

A folder with list_attr_celeba.txt (the number of images, the names, and a line of -1 and 1 an
image) and the aligned pictures: img_align_celeba.zip, or the folder img_align_celeba. Layout and
hashes are those of torchvision and tfds.
"""

from pathlib import Path

import numpy as np

from devae_jax.data.known import File, OtherDataError, reading
from devae_jax.data.published.archive import opened
from devae_jax.data.published.kind import Kind, Raw

TABLE, PICTURES = "list_attr_celeba.txt", "img_align_celeba"
ATTRIBUTES = """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
    Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
    Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard
    Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair
    Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""


def read(path: Path, kind: Kind) -> Raw:
    """The pictures in the folder `path`, with their attributes, 0 or 1."""
    packed = path / f"{PICTURES}.zip"
    pictures = packed if packed.is_file() else path / PICTURES
    for needed in (path / TABLE, pictures):
        if not needed.exists():
            raise OtherDataError(f"got no {needed}, expected {kind.path}; download it")
    attributes = _attributes(path / TABLE, kind)
    archive = opened(pictures)
    files = [name for name in archive.names if name.rpartition("/")[2] in attributes]
    if sorted(name.rpartition("/")[2] for name in files) != sorted(attributes):
        raise OtherDataError(
            f"got {len(files):,} pictures in {pictures} for {len(attributes):,} lines in "
            f"{TABLE}, expected as many; download them again"
        )
    labels = [attributes[name.rpartition("/")[2]] for name in files]
    return Raw(np.array(labels), archive.pictures(files))


def _attributes(table: Path, kind: Kind) -> dict[str, list[int]]:
    with reading(table):
        count, names, *lines = table.read_text().splitlines()
        if tuple(names.split()) != kind.names or int(count) != len(lines):
            raise OtherDataError(
                f"got {len(names.split())} attributes and {len(lines):,} lines, {count} by the "
                f"first, in {table}, expected {len(kind.names)} and as many; download it again"
            )
        rows = {file: list(map(int, values)) for file, *values in map(str.split, lines)}
        if {value for row in rows.values() for value in row} - {-1, 1}:
            raise OtherDataError(f"got other values than -1 and 1 in {table}; download it again")
    return {file: [(value + 1) // 2 for value in row] for file, row in rows.items()}


KINDS = {
    "celeba": Kind(
        factors=dict.fromkeys(ATTRIBUTES.split(), 2),
        channels=3,
        path=f"a folder with {TABLE} and {PICTURES}.zip or the folder {PICTURES}",
        read=read,
        url="http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        files={
            f"{PICTURES}.zip": File(
                "sha256",
                "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
                1_443_490_838,
            ),
            TABLE: File(
                "sha256",
                "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
                26_721_026,
            ),
        },
        grid=False,
    )
}
