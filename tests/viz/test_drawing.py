"""Files: written whole or not at all, GIFs that loop, a page that needs nothing else."""

import json
import re

import numpy as np
import pytest
from PIL import Image, ImageSequence

from devae_jax.types import Posterior
from devae_jax.viz import Section, draw_all, report, samples, save, training_curves
from devae_jax.viz.draw import in_batches
from devae_jax.viz.report import flatten, score_table


def moving(count=5, colours=2):
    frames = np.full((count, 20, 30, 3), 255, np.uint8)
    for t, frame in enumerate(frames):
        frame[5:10, 4 * t : 4 * t + 4] = np.arange(colours)[t % colours]
    return frames


def test_gif_has_every_frame_unchanged_and_loops(tmp_path):
    frames = moving()
    with Image.open(save(tmp_path / "a.gif", frames, milliseconds=70)) as image:
        assert image.n_frames == 5
        assert image.info["loop"] == 0 and image.info["duration"] == 70
        read = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    np.testing.assert_array_equal(read, frames)


def test_gif_of_many_colours_keeps_the_page_white_and_the_rest_near(tmp_path):
    frames = moving(6)
    ramp = np.linspace(0, 255, 300).astype(np.uint8).reshape(10, 30)
    frames[:, 10:, :, 0], frames[:, 10:, :, 1] = ramp, ramp[::-1]
    with Image.open(save(tmp_path / "a.gif", frames)) as image:
        read = np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])
    assert (read[:, :5] == 255).all()
    assert np.abs(read.astype(int) - frames).max() < 24


def test_png_is_exact_and_folders_are_made(tmp_path):
    page = samples(np.random.default_rng(0).uniform(size=(2, 32, 32, 3)))
    path = save(tmp_path / "deep" / "er" / "a.png", page)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), page)
    figure = training_curves([{"step": t, "loss": t} for t in range(3)])
    with Image.open(save(tmp_path / "b.png", figure)) as image:
        assert min(image.size) > 300


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save(tmp_path / "a.html", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.html"]


def test_a_suffix_that_does_not_fit_is_refused(tmp_path):
    for name, picture in [("a.png", moving()), ("a.gif", moving()[0]), ("a.jpg", moving()[0])]:
        with pytest.raises(ValueError, match="fix the suffix"):
            save(tmp_path / name, picture)


def score(metric, value, **more):
    row = {"metric": metric, "value": value, "layer": 0, "protocol": "dlib", "unit": ""}
    return row | {"better": "higher", "range": [0.0, 1.0]} | more


def test_table_gives_mean_spread_and_gaps():
    rows = [score("mig", 0.2), score("mig", 0.4), score("mig", 0.25, layer=1, floor=0.01)]
    rows += [score("kl", 17.0), score("mi", [[1.0]]), score("sap", None)]
    table = score_table(rows, ["β=1", "β=10"])
    body = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table)[1:]
    cells = {name: re.findall(r'"n[^"]*">(.*?)<', line) for name, line in body}
    assert cells == {"MIG": ["0.300 ± 0.141", "0.250", "0.010"], "KL (nats)": ["17.0", "–", "–"]}
    assert "layer 1 (β=10)" in table and "Ceiling" not in table


def test_page_is_escaped_and_self_contained(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    sections = [Section("A & B", "", [("caption", path)])]
    page = report("<Run>", sections, config={"model": {"latent_dim": 10, "act": "<b>"}})
    assert "&lt;Run&gt;" in page and "<Run>" not in page and "A &amp; B" in page
    assert "model.latent_dim" in page and "&lt;b&gt;" in page
    assert "data:image/png;base64," in page
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "://" not in page
    assert flatten({"a": {"b": 1, "c": {}}}) == {"a.b": 1, "a.c": {}}


def test_decoder_sees_one_batch_size():
    sizes = []

    def decode(z, layer):
        sizes.append(len(z))
        return z[:, :, None, None] + layer

    z = np.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(in_batches(decode, 4)(z, 1)[..., 0, 0], z + 1)
    assert sizes == [4, 4]


def world(layers, latents, channels, images=14):
    """A toy run: images, encode, decode, and what was measured, with gaps."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(images, latents)).astype(np.float32)

    def decode(z, layer):
        shade = 1 / (1 + np.exp(-np.asarray(z)[:, :1, None, None] / (1 + layer)))
        return np.broadcast_to(shade, (len(z), 32, 32, channels))

    def encode(x):
        mean = np.repeat(codes[None, : len(x)], layers, axis=0)
        return Posterior(mean=mean, logvar=np.zeros_like(mean))

    kl = rng.uniform(0, 2, (layers, latents))
    mi = rng.uniform(size=(latents, 2))
    rows = [{"step": t, "loss": 9.0 - t, "kl": [t] * layers} for t in range(4)]
    rows += [{"step": t, "eval/mi": [(mi * t).tolist()] * layers, "loss": None} for t in (2, 3)]
    return {
        "images": decode(codes, 0),
        "encode": encode,
        "decode": decode,
        "kl": kl,
        "mi": mi,
        "factors": ["shape", "posX"],
        "rows": rows,
        "scores": [score("mig", 0.3, layer=i, floor=0.01, ceiling=0.9) for i in range(layers)],
        "layer_labels": [f"β={10**i}" for i in range(layers)],
    }


def test_draw_all_writes_every_figure_and_the_page(tmp_path):
    paths = draw_all(tmp_path, title="Run", config={"seed": 0}, **world(2, 3, 3))
    assert set(paths) == {
        "samples.png",
        "reconstructions.png",
        *(f"traversals_layer{i}.{kind}" for i in range(2) for kind in ("png", "gif")),
        "mutual_information.png",
        "training.png",
        "information_diffusion.png",
        "scores.png",
        "report.html",
    }
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(paths)
    page = paths["report.html"].read_text()
    assert page.count("<figure><img") == len(paths) - 3  # GIFs are files, sliders move here
    assert "data:image/gif" not in page and "no factors" not in page
    with Image.open(paths["traversals_layer1.gif"]) as image:
        assert image.n_frames == 32


def test_draw_all_needs_no_factors_no_history_no_scores(tmp_path):
    given = world(1, 2048, 1)
    for key in ("mi", "factors", "rows", "scores", "layer_labels"):
        del given[key]
    given["kl"] = np.full((1, 2048), np.nan)
    paths = draw_all(tmp_path, **given)
    stems = {name.split(".")[0] for name in paths}
    assert stems == {"samples", "reconstructions", "traversals_layer0", "report"}
    assert paths["report.html"].read_text().count("has no factors") == 1


def test_shapes_that_disagree_are_refused_before_drawing(tmp_path):
    given = world(2, 3, 1)
    with pytest.raises(ValueError, match=r"kl of shape \(1, 3\)"):
        draw_all(tmp_path, **given | {"kl": given["kl"][:1]})
    with pytest.raises(ValueError, match=r"mi of shape \(2, 3\)"):
        draw_all(tmp_path, **given | {"mi": given["mi"].T})
    assert not list(tmp_path.iterdir())


def test_rows_may_come_straight_from_json(tmp_path):
    given = world(2, 3, 1)
    given["rows"] = json.loads(json.dumps(given["rows"]))
    assert "information_diffusion.png" in draw_all(tmp_path, **given)
