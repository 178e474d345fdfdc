"""Pictures made of pixels: what is drawn where, and that no pixel is resampled."""

import numpy as np
import pytest

from devae_jax.viz import latent_labels, reconstructions, samples, traversal_frames, traversals
from devae_jax.viz.beside import beside
from devae_jax.viz.save import loaded, save
from devae_jax.viz.sheet import NAN_COLOUR, sheet, to_rgb
from devae_jax.viz.traversals import by_kl

SIZE = 16
FACTOR = 7  # 112 / 16


def shade(z, layer=0):
    """A decoder whose images tell the code: column d of the image is as bright as latent d."""
    z = np.asarray(z)
    columns = np.zeros((len(z), SIZE))
    columns[:, : min(SIZE, z.shape[1])] = (z[:, :SIZE] + 2 + layer) / 8
    return np.broadcast_to(columns[:, None, :, None], (len(z), SIZE, SIZE, 1))


def find(page, image):
    """Top left corners (y, x) where the enlarged image stands in the page, in reading order."""
    tile = np.kron(to_rgb(image), np.ones((FACTOR, FACTOR, 1), np.uint8))
    windows = np.lib.stride_tricks.sliding_window_view(page, tile.shape)[:, :, 0]
    starts = np.argwhere((windows[..., 0, 0, :] == tile[0, 0]).all(-1))
    return [(y, x) for y, x in starts if np.array_equal(windows[y, x], tile)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_keep_every_pixel_and_the_reading_order(channels):
    images = noise(5, SIZE, SIZE, channels)
    page = samples(images, columns=2)
    assert page.dtype == np.uint8 and page.ndim == 3
    places = [find(page, image) for image in images]
    assert all(len(place) == 1 for place in places)
    assert sorted(places) == places


def test_samples_say_what_they_hide():
    images = noise(9, SIZE, SIZE, 1)
    page = samples(images, limit=4)
    assert find(page, images[3]) and not find(page, images[4])
    assert page.shape[0] > samples(images[:4]).shape[0]  # a line "4 of 9 images"


def test_input_row_stands_above_the_layers_in_order():
    images, layers = noise(3, SIZE, SIZE, 3), noise(2, 3, SIZE, SIZE, 3, seed=1)
    page = reconstructions(images, layers, labels=["β=1", "β=10"], errors=[2.5, 31.0])
    tops = []
    for row in [images, *layers]:
        places = [find(page, image)[0] for image in row]
        assert len({y for y, _ in places}) == 1
        assert [x for _, x in places] == sorted(x for _, x in places)
        tops.append(places[0][0])
    assert tops == sorted(tops)


def test_reconstructions_of_other_images_are_refused():
    with pytest.raises(ValueError, match="expected"):
        reconstructions(noise(3, SIZE, SIZE, 1), noise(2, 4, SIZE, SIZE, 1))
    with pytest.raises(ValueError, match="2 layer labels"):
        reconstructions(noise(3, SIZE, SIZE, 1), noise(1, 3, SIZE, SIZE, 1), labels=["a", "b"])


def test_traversal_rows_are_sorted_by_kl_and_columns_by_value():
    code, kl = np.array([0.1, 0.2, 0.3]), np.array([0.7, 2.0, 1.1])
    values = np.array([-2.0, 0.5, 2.0])
    page = traversals(shade, code, kl=kl, values=values, layer=1)
    corners = []
    for latent in (1, 2, 0):
        for value in values:
            z = code.astype(np.float32)
            z[latent] = value
            (corner,) = find(page, shade(z[None], 1)[0])
            corners.append(corner)
    assert corners == sorted(corners)
    assert len({y for y, _ in corners}) == len({x for _, x in corners}) == 3


def test_latents_below_the_threshold_are_dropped_but_never_all():
    kl = np.array([0.1, 3.0, 0.5, 0.9])
    assert by_kl(kl, threshold=0.5).tolist() == [1, 3]
    assert by_kl(kl, threshold=9.0).tolist() == [1]
    assert by_kl(kl).tolist() == [1, 3, 2, 0]
    assert by_kl(np.array([np.nan, 1.0, np.nan])).tolist() == [1, 0, 2]
    assert by_kl(np.full(3, np.nan), threshold=0.5).tolist() == [0, 1, 2]
    high = traversals(shade, np.zeros(4), kl=kl).shape[0]
    assert traversals(shade, np.zeros(4), kl=kl, threshold=0.5).shape[0] < high


def test_two_thousand_latents_make_a_dozen_rows():
    kl = np.linspace(0, 1, 2048)
    page = traversals(shade, np.zeros(2048), kl=kl)
    assert page.shape[0] < 13 * (SIZE * FACTOR + 6) + 60


def test_labels_name_kl_and_best_factor():
    mi = np.array([[0.1, 1.5], [np.nan, 0.25], [np.nan, np.nan]])
    labels = latent_labels([2.0, 0.125, np.nan], mi, ["shape", "posX"])
    assert labels == ["z₀\nKL 2.00\nposX 1.50", "z₁\nKL 0.12\nposX 0.25", "z₂"]
    assert latent_labels([1.0]) == ["z₀\nKL 1.00"]


def test_frames_go_there_and_back():
    values = np.linspace(-2, 2, 5)
    frames = traversal_frames(shade, np.zeros(2), kl=np.array([1.0, 2.0]), values=values)
    assert len(frames) == 8
    for t in range(1, 4):
        np.testing.assert_array_equal(frames[t], frames[-t])
    for t, value in enumerate(values):
        z = np.zeros((2, 2), np.float32)
        z[[0, 1], [0, 1]] = value
        first, second = shade(z)
        places = {*find(frames[t], first), *find(frames[t], second)}
        assert len({x for _, x in places}) == 2 and len({y for y, _ in places}) == 1


def test_pixels_are_rounded_clipped_and_nan_is_seen():
    images = np.array([0.0, 0.5, 1.0, -3.0, 7.0, np.nan]).reshape(1, 6, 1)
    rgb = to_rgb(images)[0]
    assert rgb[:5, 0].tolist() == [0, 128, 255, 0, 255]
    assert "#{:02X}{:02X}{:02X}".format(*rgb[5]) == NAN_COLOUR
    with pytest.raises(ValueError, match="C of 1 or 3"):
        to_rgb(np.zeros((4, 4, 2)))


@pytest.mark.parametrize("size", [28, 32, 64, 96, 128, (32, 64)])
def test_cells_are_enlarged_by_whole_pixels(size):
    height, width = size if isinstance(size, tuple) else (size, size)
    image = np.zeros((1, 1, height, width, 1))
    image[..., ::2, :, :] = 1  # stripes: any resampling would leave grey
    cell = sheet(image)
    black = (cell == 0).all(-1)
    grey = ~black & ~(cell == 255).all(-1)
    rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
    assert len(columns) % width == 0 and len(columns) >= 112
    inner = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert not inner.any()


def at(page, picture):
    """Where a picture stands in a page, (y, x), pixel for pixel; None if nowhere."""
    height, width = picture.shape[:2]
    for y, x in np.argwhere((page == picture[0, 0]).all(-1)):
        if np.array_equal(page[y : y + height, x : x + width], picture):
            return int(y), int(x)
    return None


def test_pictures_side_by_side_keep_every_pixel_and_words_stand_where_one_lacks():
    pictures = [to_rgb(noise(h, w, 3, seed=h)) for h, w in ((90, 700), (300, 650), (80, 640))]
    headings = [f"line {i}, seed 0" for i in range(3)]
    found = dict(zip(headings, pictures, strict=True))
    page = beside(found, title="traversals", note="word " * 60)
    (a, b, c) = [at(page, picture) for picture in pictures]
    assert a[0] == b[0] and b[1] >= a[1] + 700  # beside one another, from one height on
    assert c[1] == a[1] and c[0] > b[0] + 300  # the third below the taller of them
    above = page[b[0] + 300 : c[0], c[1] : c[1] + 600]
    assert (above < 128).any()  # its heading, which it does not cover
    alone = beside(found | {headings[1]: "It was given as rows. " * 9}, title="traversals")
    assert at(alone, pictures[0]) and not at(alone, pictures[1])
    assert alone.shape[0] < page.shape[0] and alone.shape[1] == page.shape[1]
    assert (alone[:, page.shape[1] // 2 + 20 :] < 128).any()  # its words
    assert beside({"one": pictures[2]}, title="t").shape[1] < page.shape[1]


def test_a_picture_is_read_as_it_was_written_and_a_damaged_one_is_none(tmp_path):
    picture = to_rgb(noise(20, 30, 3))
    path = save(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(loaded(path), picture)
    whole = path.read_bytes()
    for damaged in (whole[:200], b"", b"GIF89a", whole[:60] + b"?" * 8 + whole[68:]):
        path.write_bytes(damaged)
        assert loaded(path) is None
    assert loaded(tmp_path / "none.png") is None
