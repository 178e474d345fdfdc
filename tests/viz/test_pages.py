"""The pages as a reader meets them: sliders, keys, layers, and names that try to be markup."""

import base64
import html
import io
import json
import re

import numpy as np
from PIL import Image

from devae_jax.viz import draw_all
from devae_jax.viz.explorer import explorer, reduced
from devae_jax.viz.page import Part, figures, page
from devae_jax.viz.save import save
from tests.viz.browser import driven, needs_chromium
from tests.viz.test_drawing import world
from tests.viz.test_looks import study_page

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"'&"


def decode(z, layer):
    """Images whose only pixel value says which layer and codes they are of."""
    shade = (0.5 + 0.1 * z.sum(axis=1) + 0.01 * layer)[:, None, None, None]
    return np.broadcast_to(np.clip(shade, 0, 1), (len(z), 4, 6, 1))


def sliders(**more):
    means = np.array([[[0.0, 0.3], [0.5, -0.5], [0.0, 0.0]]] * 2)
    given = {"kl": np.array([[2.0, 0.1], [1.0, 0.0]]), "layer_labels": ["β=1", HOSTILE]}
    return explorer(decode, means, np.zeros((3, 4, 6, 1)), **given | more)


def data_of(text):
    return json.loads(re.search(r'id="explorer-data">(.*?)</script>', text, re.S)[1])


def sheet(address):
    content = base64.b64decode(address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_every_latent_has_a_slider_and_each_picture_is_what_the_decoder_says():
    text = sliders()
    data = data_of(text)
    assert text.count('type="range"') == 2 and "</script><script>" not in text
    means = np.array([[0.0, 0.3], [0.5, -0.5], [0.0, 0.0]])
    for layer in range(2):
        for source in range(3):
            pixels = sheet(data["sheets"][layer][source]).reshape(2, 4, 9, 6, 3)[:, 0, :, 0, 0]
            for latent in range(2):
                code = np.tile(means[source], (9, 1))
                code[:, latent] = np.linspace(-2, 2, 9)
                expected = np.rint(255 * decode(code, layer)[:, 0, 0, 0])
                np.testing.assert_array_equal(pixels[latent], expected)


def test_large_images_and_many_latents_stay_small():
    noise = np.random.default_rng(0).uniform(size=(4 * 9, 128, 128, 3)).astype(np.float32)
    text = explorer(
        lambda z, layer: noise[: len(z)],
        np.zeros((1, 5, 1024)),
        noise[:5],
        np.tile(np.arange(1024.0), (1, 1)),
        limit=4,
    )
    assert text.count('type="range"') == 4 and 'id="latent1023"' in text
    assert len(text) < 4_000_000
    averaged = reduced(np.arange(2 * 130 * 3, dtype=np.uint8).reshape(2, 130, 3) // 2, 65)
    assert averaged.shape == (1, 65, 3)


def test_a_picture_that_would_not_fit_is_named(tmp_path):
    paths = [save(tmp_path / f"{i}<.png", np.zeros((4, 4, 3), np.uint8)) for i in range(2)]
    text = figures([("alt", path) for path in paths], paths[0].stat().st_size)
    assert text.count("<img") == 1 and "1&lt;.png, beside this page" in text


def test_figures_of_a_study_that_would_not_fit_are_named(monkeypatch):
    """The scores of the first data set fit; all that comes later is told in its place."""
    sets = ("dSprites", HOSTILE)
    first = re.search(r'<div class="grid">.*?</figure></div>', study_page(sets=sets), re.S)[0]
    monkeypatch.setattr("devae_jax.viz.study.ROOM", len(first) * 3 // 4 + 9)
    text = study_page(sets=sets)
    named = re.findall(r"<p>Too large to show here: (.*?), (.*?)\.</p>", text)
    kinds, (a, b) = ("Reconstruction against MIG", "Learning curves"), [f"{s}, {s}" for s in sets]
    assert first in text and text.count("<img") == first.count("<img")
    assert [(kind, html.unescape(data)) for kind, data in named] == [
        ("Scores", b),
        *[(kind, data) for kind in kinds for data in (a, b)],
    ]
    assert "<script>window.pwned" not in text


def test_the_page_of_a_run_has_words_for_every_picture(tmp_path):
    text = draw_all(tmp_path, title=HOSTILE, config={HOSTILE: HOSTILE}, **world(2, 3, 1))[
        "report.html"
    ].read_text()
    assert "<script>window.pwned" not in text and "<img src=x" not in text
    tags = re.findall(r"<img [^>]*>", text)
    assert tags and all(re.search(r'alt="[^"]{8,}"', tag) for tag in tags)
    assert text.count('type="range"') == 3 and len(text) < 15_000_000


@needs_chromium
def test_sliders_keys_and_layers_in_a_browser(tmp_path):
    from devae_jax.viz.explorer import CSS, SCRIPT

    text = page(HOSTILE, [Part("Latents", HOSTILE, sliders())], css=CSS, script=SCRIPT)
    found = driven(
        text,
        """
        const cells = [...document.querySelectorAll('.cell')], look = () => cells.map(cell =>
          cell.style.backgroundPosition + cell.style.backgroundImage.slice(-40));
        const [a, b] = document.querySelectorAll('input[type=range]');
        const press = key => a.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
        const name = () => cells[0].getAttribute('aria-label');
        const out = {start: look(), pwned: 'pwned' in window};
        a.value = 8; a.dispatchEvent(new Event('input', {bubbles: true}));
        out.moved = look(); out.value = a.getAttribute('aria-valuetext'); out.first = name();
        press('l'); out.layer = look(); out.kept = [a.value, b.value]; out.second = name();
        press('i'); out.image = name(); press('r'); out.reset = [a.value, b.value];
        return out;
        """,
        tmp_path,
    )
    assert found["errors"] == [] and found["pwned"] is False
    assert found["start"][0].startswith("-504px 0px")  # the fifth of nine, 6 pixels 21 times
    assert found["moved"][0] != found["start"][0] and found["moved"][1] == found["start"][1]
    assert found["value"] == "2.0" and "z₀ at 2.0, layer 0 (β=1), source image 1" in found["first"]
    assert found["layer"] != found["moved"] and found["kept"] == ["8", "4"]
    assert "layer 1" in found["second"] and "source image 2" in found["image"]
    assert found["reset"] == ["4", "4"]
