"""Files of published data sets that are whole and yet not in their layout; SmallNORB's format."""

import io
import tarfile

import numpy as np
import pytest

from devae_jax.data import published
from devae_jax.data.published import smallnorb, sprites
from tests.data import layouts

MAGIC = {"<f4": 0x1E3D4C51, "<f8": 0x1E3D4C53, "<i4": 0x1E3D4C54, "u1": 0x1E3D4C55}
MAGIC["<i2"] = 0x1E3D4C56


def cut(name, *sizes):
    kind = published.KINDS[name]
    return kind._replace(factors=dict(zip(kind.names, sizes, strict=True)), files={})


@pytest.mark.parametrize("dtype", MAGIC)
def test_matrices_of_every_type_are_read(tmp_path, dtype):
    """The magic numbers of http://yann.lecun.com/data/norb-v1.0-small, packed matrices aside."""
    values = np.arange(6).astype(dtype).reshape(3, 2)
    header = np.array([MAGIC[dtype], 2, 3, 2, 1], "<i4").tobytes()
    (tmp_path / "a.mat").write_bytes(header + values.tobytes())
    found = smallnorb._matrix(tmp_path, "a.mat")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dimensions", [0, 1, 8, 9])
def test_matrices_have_one_to_eight_dimensions(tmp_path, dimensions):
    sizes = [2] * dimensions + [1] * (3 - dimensions)
    header = np.array([MAGIC["u1"], dimensions, *sizes], "<i4").tobytes()
    (tmp_path / "a.mat").write_bytes(header + bytes(2**dimensions))
    if 1 <= dimensions <= 8:
        assert smallnorb._matrix(tmp_path, "a.mat").shape == (2,) * dimensions
    else:
        with pytest.raises(ValueError, match="does not begin with the magic number"):
            smallnorb._matrix(tmp_path, "a.mat")


@pytest.mark.parametrize(
    "change",
    [
        lambda pair: pair[:, 0],  # one camera, no axis
        lambda pair: pair[:, :1],
        lambda pair: pair.astype("<i4"),
        lambda pair: pair[1:],
    ],
)
def test_pictures_of_smallnorb_are_pairs(tmp_path, change):
    kind = cut("smallnorb", 2, 4, 2, 3, 2)
    layouts.smallnorb(tmp_path, kind)
    file = tmp_path / f"smallnorb-{smallnorb.HALVES[1]}-dat.mat"  # the half that lies unpacked
    pair = smallnorb._matrix(tmp_path, file.name)
    file.write_bytes(layouts.matrix(np.ascontiguousarray(change(pair))))
    with pytest.raises(ValueError, match=r"got cat .* expected .N., .N, 4. and uint8 .N, 2, 96"):
        smallnorb.read(tmp_path, kind)


@pytest.mark.parametrize("low, high, good", [(0, 255, True), (0, 256, False), (-1, 255, False)])
def test_intensities_of_sprites_are_bytes(tmp_path, low, high, good):
    kind = cut("sprites", 2, 2, 2, 2, 3, 3, 2)
    layouts.sprites(tmp_path, kind)
    file = tmp_path / "walk_front_frames_train.npy"
    frames = np.load(file)
    frames[0, 0, 0, :2] = np.array([[low], [high]]) / 256
    np.save(file, frames)
    raw = sprites.read(tmp_path, kind)
    if good:
        first = next(iter(raw.chunks))
        assert first.dtype == np.uint8 and first[0, 0, :2, 0].tolist() == [low, high]
    else:
        with pytest.raises(ValueError, match=r"got intensities from .*expected 0 to 255 / 256"):
            next(iter(raw.chunks))


@pytest.mark.parametrize("rows", [np.zeros(10), np.zeros((3, 9)), np.zeros((3, 10), int)])
def test_factors_of_3dident_are_ten_numbers_a_row(tmp_path, rows):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        content = io.BytesIO()
        np.save(content, rows)
        layouts.add(tar, "3dident/train/raw_latents.npy", content.getvalue())
    with pytest.raises(ValueError, match=r"expected numbers \[N, 10\]; this is not"):
        published.read("3dident", tmp_path / "train.tar", verify=False)
