"""The part of a run's page that moves: a slider for each latent, over pictures decoded before.

No decoder runs in the page. Each slider moves one latent of the chosen image's mean code, the
others stay where the image has them; the pictures lie in one sheet for each layer and image.
"""

import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from devae_jax.viz.images import layer_names
from devae_jax.viz.page import data_uri, embedded
from devae_jax.viz.sheet import to_rgb
from devae_jax.viz.style import latent_name
from devae_jax.viz.traversals import VALUES, Decode, by_kl, latent_labels, traverse

SOURCES = 4  # images to choose from
LIMIT = 16  # sliders
SIDE = 64  # pixels of an image; larger ones are averaged over blocks
PIXELS = 24_000_000  # of all sheets together
PNG_ROOM, ROOM = 2_500_000, 4_000_000  # bytes of all sheets as PNG, else as JPEG
CARD = 128  # page pixels that a picture takes at most, in whole multiples of its own if it can

CSS = """
.controls { display: flex; flex-wrap: wrap; gap: 10px 28px; align-items: center; padding: 10px 0;
  position: sticky; top: 0; background: var(--paper); z-index: 1; }
.controls fieldset { border: 0; padding: 0; margin: 0; display: flex; flex-wrap: wrap; gap: 6px;
  align-items: center; }
.controls legend { float: left; margin-right: 8px; font-size: 14px; color: var(--muted); }
.controls label { position: relative; border: 1px solid var(--rule); border-radius: 6px;
  font-size: 14px; padding: 3px 10px; cursor: pointer; }
.controls label.pic { padding: 3px; line-height: 0; }
.controls label img { width: 40px; height: 40px; object-fit: contain;
  image-rendering: pixelated; }
.controls input { position: absolute; opacity: 0; inset: 0; margin: 0; cursor: pointer; }
.controls label:has(:checked) { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.controls label:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr));
  gap: 20px 14px; margin: 10px 0; }
.card { min-width: 0; font-size: 13.5px; line-height: 1.4; }
.card .cell { border: 1px solid var(--rule); border-radius: 3px; background-repeat: no-repeat;
  image-rendering: pixelated; print-color-adjust: exact; -webkit-print-color-adjust: exact;
  max-width: 100%; margin-bottom: 6px; }
.card label { display: block; white-space: pre-line; color: var(--muted); min-height: 4.2em;
  overflow-wrap: anywhere; }
.card label::first-line { color: var(--ink); font-weight: 600; }
.card input { width: 100%; max-width: 136px; margin: 2px 0 0; accent-color: var(--accent); }
.card output { display: block; color: var(--muted); font-variant-numeric: tabular-nums; }
.help { font-size: 14px; }
@media print { .card input { display: none; } }
@media (max-width: 640px) { .controls { position: static; } .cards { gap: 16px 10px; } }
"""

SCRIPT = """
(() => {
  const root = document.getElementById('explorer');
  const data = JSON.parse(document.getElementById('explorer-data').textContent);
  const cards = [...root.querySelectorAll('.card')].map(card => ({
    cell: card.querySelector('.cell'), label: card.querySelector('label'),
    slider: card.querySelector('input'), output: card.querySelector('output')}));
  const say = value => (value <= -0.05 ? '\\u2212' : '') + Math.abs(value).toFixed(1);
  const group = name => [...root.querySelectorAll('input[name=' + name + ']')];
  const chosen = name => group(name).findIndex(input => input.checked);
  const end = data.values.length - 1;
  function draw() {
    const layer = chosen('layer'), source = chosen('source');
    cards.forEach((card, i) => {
      const at = +card.slider.value, value = say(data.values[at]);
      const label = data.labels[layer][i], own = say(data.codes[layer][source][i]);
      card.cell.style.backgroundImage = 'url(' + data.sheets[layer][source] + ')';
      card.cell.style.backgroundPosition =
        -at * data.width + 'px ' + -i * data.height + 'px';
      card.label.textContent = label;
      card.output.textContent = value + '  (image: ' + own + ')';
      card.slider.setAttribute('aria-valuetext', value);
      card.cell.setAttribute('aria-label', 'Decoded with ' + label.split('\\n')[0] + ' at ' +
        value + ', ' + data.layers[layer] + ', source image ' + (source + 1));
    });
  }
  const next = name => {
    const all = group(name);
    all[(chosen(name) + 1) % all.length].checked = true;
    draw();
  };
  const reset = () => { cards.forEach(card => { card.slider.value = end / 2; }); draw(); };
  let timer = 0, tick = 0;
  const play = () => {
    if (timer) { clearInterval(timer); timer = 0; } else {
      timer = setInterval(() => {
        tick = (tick + 1) % (2 * end);
        cards.forEach(card => { card.slider.value = tick > end ? 2 * end - tick : tick; });
        draw();
      }, 140);
    }
    root.querySelector('[data-do=play]').textContent = timer ? 'Stop' : 'Play';
  };
  const actions = {reset, play};
  root.addEventListener('input', draw);
  root.addEventListener('click', event => (actions[event.target.dataset.do] || (() => 0))());
  root.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const action = {l: () => next('layer'), i: () => next('source'), r: reset, p: play}[event.key];
    if (action) { action(); event.preventDefault(); }
  });
  draw();
})();
"""


def explorer(
    decode: Decode,
    means: np.ndarray,
    images: np.ndarray,
    kl: np.ndarray,
    *,
    mi: np.ndarray | None = None,
    factors: Sequence[str] = (),
    layer_labels: Sequence[str] | None = None,
    limit: int = LIMIT,
) -> str:
    """Sliders as HTML, for a page that has `CSS` and `SCRIPT`.

    Args:
      decode: z [N, D], layer -> images [N, H, W, C] in [0, 1].
      means: [K, S, D] mean codes of the source images in every layer.
      images: [S, H, W, C] in [0, 1], the source images.
      kl: [K, D] nats; the `limit` latents with the largest in any layer have a slider.
      mi: [D, F] nats, and the names of the factors.

    Its sheets are bounded: images over 64 pixels are averaged over blocks, source images from
    the last on are left out beyond 24 million pixels, and beyond 2.5 MB sheets are JPEG.
    """
    means, kl = np.asarray(means), np.asarray(kl, float)
    num_layers, count, dim = means.shape
    strongest = np.nan_to_num(kl, nan=-np.inf).max(axis=0)
    latents = np.sort(by_kl(np.where(np.isfinite(strongest), strongest, np.nan), limit=limit))
    small = reduced(to_rgb(images))
    height, width = small.shape[1:3]
    pixels = num_layers * len(latents) * len(VALUES) * height * width
    count = max(1, min(count, SOURCES, PIXELS // pixels))
    strips = [
        [reduced(to_rgb(traverse(decode, means[k, s], latents, VALUES, k))) for s in range(count)]
        for k in range(num_layers)
    ]
    sheets = _encoded([[_sheet(strip) for strip in layer] for layer in strips])
    names = layer_names(num_layers, layer_labels)
    scale = max(1, CARD // max(height, width))
    shown = {"width": width * scale, "height": height * scale}
    labels = [latent_labels(kl[k], mi, factors) for k in range(num_layers)]
    data = {
        **shown,
        "values": VALUES.tolist(),
        "sheets": [list(map(data_uri, layer)) for layer in sheets],
        "labels": [[layer[d] for d in latents] for layer in labels],
        "codes": np.round(means[:, :count, latents].astype(float), 3).tolist(),
        "layers": names,
    }
    size = (
        f"width:{shown['width']}px;height:{shown['height']}px;background-size:"
        f"{shown['width'] * len(VALUES)}px {shown['height'] * len(latents)}px"
    )
    cards = "".join(
        f'<div class="card"><div class="cell" role="img" style="{size}"></div>'
        f'<label for="latent{d}">{latent_name(d)}</label>'
        f'<input type="range" id="latent{d}" min="0" max="{len(VALUES) - 1}" '
        f'value="{len(VALUES) // 2}"><output for="latent{d}"></output></div>'
        for d in latents
    )
    pictures = [
        f'<img alt="source image {i + 1}" src="{data_uri(_png(image))}">'
        for i, image in enumerate(small[:count])
    ]
    note = ""
    if len(latents) < dim:
        note = f" The {len(latents)} of {dim} latents with the largest KL have one."
    return (
        f'<div id="explorer"><div class="controls">'
        f"{_choice('layer', 'Layer', list(map(escape, names)))}"
        f"{_choice('source', 'Source image', pictures, 'pic')}"
        '<span><button type="button" data-do="reset">Reset</button> '
        '<button type="button" data-do="play">Play</button></span></div>'
        f'<div class="cards">{cards}</div>'
        f'<p class="muted help">Each slider moves its own latent.{note} Tab reaches all, arrow '
        "keys move; with any of these in focus, L is the next layer, I the next image, R resets, "
        "P plays.</p><noscript><p>The sliders need JavaScript; the pictures below show the same."
        f"</p></noscript></div>{embedded('explorer-data', data)}"
    )


def reduced(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """uint8 images [..., H, W, 3], averaged over whole blocks until no side is over `side`."""
    block = -(-max(images.shape[-3:-1]) // side)
    if block == 1:
        return images
    height, width = (n // block * block for n in images.shape[-3:-1])
    cut = images[..., :height, :width, :].astype(np.float32)
    cut = cut.reshape(*images.shape[:-3], height // block, block, width // block, block, 3)
    return np.rint(cut.mean(axis=(-4, -2))).astype(np.uint8)


def _sheet(strip: np.ndarray) -> np.ndarray:
    """[L, V, H, W, 3] -> [L H, V W, 3]."""
    count, steps, height, width, _ = strip.shape
    return strip.swapaxes(1, 2).reshape(count * height, steps * width, 3)


def _encoded(sheets: list[list[np.ndarray]]) -> list[list[bytes]]:
    """[K][S] sheets as PNG, or as JPEG where these are large, the last images left out if need."""
    found = [[_png(sheet) for sheet in layer] for layer in sheets]
    if _size(found) > PNG_ROOM:
        found = [[_jpeg(sheet) for sheet in layer] for layer in sheets]
    while _size(found) > ROOM and len(found[0]) > 1:
        found = [layer[:-1] for layer in found]
    return found


def _size(sheets: list[list[bytes]]) -> int:
    return sum(len(sheet) for layer in sheets for sheet in layer)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=80)
    return buffer.getvalue()


def _choice(name: str, legend: str, options: Sequence[str], kind: str = "") -> str:
    """Radio buttons; the first is chosen. options are HTML."""
    buttons = "".join(
        f'<label class="{kind}"><input type="radio" name="{name}" value="{i}"'
        f"{' checked' if i == 0 else ''}>{option}</label>"
        for i, option in enumerate(options)
    )
    return f"<fieldset><legend>{legend}</legend>{buttons}</fieldset>"
