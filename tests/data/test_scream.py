"""dSprites on a picture of the user's."""

import numpy as np
import pytest
from PIL import Image

from devae_jax import data


def test_sprites_stand_on_the_users_picture(tmp_path, cache_dir):
    factors = {"scale": [5], "orientation": [0], "x_position": [15, 16], "y_position": [15, 16]}
    large = np.zeros((548, 700, 3), np.uint8)
    large[..., 0] = np.linspace(0, 255, 700)
    Image.fromarray(large).save(tmp_path / "scream.png")
    request = data.Request(data_dir=cache_dir, factors=factors, path=tmp_path / "scream.png")
    found = data.load("dsprites_regen_scream", request)
    images = data.images_of(found, np.arange(found.size))
    white = data.images_of(
        data.load("dsprites_regen", request._replace(path="")), np.arange(found.size)
    )[..., 0]
    assert images.shape == (*white.shape, 3)
    middle = images[:, 32]  # a row across the sprite, whose ground is a ramp in red
    ground = np.where(white[:, 32] > 0, 1 - middle[..., 0], middle[..., 0])
    rise = ground[:, -1] - ground[:, 0]
    np.testing.assert_allclose(rise, 63 / 349 / 2, atol=0.006)  # 350 pixels wide, half of it tint
    other = tmp_path / "other.png"
    Image.fromarray(255 - large).save(other)
    changed = data.load("dsprites_regen_scream", request._replace(path=other))
    assert changed.identity != found.identity
    for path, message in (("", "a picture for the background"), (__file__, "unreadable image")):
        with pytest.raises(ValueError, match=message):
            data.load("dsprites_regen_scream", request._replace(path=path))
