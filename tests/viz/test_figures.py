"""Plots: that what was measured is what is drawn, and that gaps do no harm."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from devae_jax.viz import information_diffusion, mutual_information, score_bars, training_curves
from devae_jax.viz.curves import diffusions, smooth
from devae_jax.viz.rows import series
from devae_jax.viz.strips import curves, trade_off
from devae_jax.viz.style import PALETTE, latent_name, pretty, titled


def visible(figure):
    return [axis for axis in figure.axes if axis.get_visible()]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_series_skips_gaps_and_sorts():
    rows = [
        {"step": 20, "kl": [3.0, None]},
        {"step": 10, "kl": [1.0, 2.0]},
        {"step": 10, "loss": 5.0},
        {"step": 30, "kl": None},
        {"kl": [9.0, 9.0]},
        {"step": 15, "kl": 7.0},
        {"step": 20, "eval/mig": float("nan"), "kl": [4.0, None]},
    ]
    steps, values = series(rows, "kl")
    assert steps.tolist() == [10, 20]
    np.testing.assert_array_equal(values, [[1, 2], [4, np.nan]])
    assert series(rows, "mig")[0].tolist() == [20]
    assert series(rows, "nothing")[0].size == 0


def test_training_curves_draw_each_layer_where_it_was_measured():
    rows = [{"step": t, "loss": 10.0 - t, "kl": [t, None if t % 2 else 2 * t]} for t in range(8)]
    rows.append({"step": 7, "eval/mig": [0.2, 0.3]})
    figure = training_curves(rows, layer_labels=["β=1", "β=10"])
    loss, kl, mig = visible(figure)
    assert [axis.get_title(loc="left") for axis in (loss, mig)] == ["Loss", "MIG"]
    first, second = kl.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [(t, t) for t in range(8)])
    np.testing.assert_array_equal(second.get_xydata(), [(t, 2 * t) for t in range(0, 8, 2)])
    assert legend(figure) == ["layer 0 (β=1)", "layer 1 (β=10)"]


def test_a_falling_loss_is_drawn_on_a_log_axis_and_a_rising_score_is_not():
    rows = [{"step": t, "loss": 100.0 / (t + 1), "mig": 0.01 * (t + 1)} for t in range(50)]
    loss, mig = visible(training_curves(rows))
    assert (loss.get_yscale(), mig.get_yscale()) == ("log", "linear")


def test_layers_that_coincide_are_one_line():
    rows = [{"step": t, "kl": [t, 2 * t], "eval/mig": [0.1 * t, 0.1 * t]} for t in range(4)]
    kl, mig = visible(training_curves(rows))
    assert (len(kl.get_lines()), len(mig.get_lines())) == (2, 1)
    assert mig.get_title(loc="left") == "MIG, equal in all layers"


@pytest.mark.parametrize("rows", [[], [{"step": 1}], [{"step": 1, "loss": None, "kl": [None]}]])
def test_nothing_measured_is_said(rows):
    (axis,) = training_curves(rows).axes
    assert "No training metrics" in texts(axis)[0]


def test_smoothing_is_unbiased():
    np.testing.assert_allclose(smooth(np.full(20, 3.0), 5), 3.0)
    assert smooth(np.arange(20.0), 5)[-1] == pytest.approx(17, abs=0.1)


def test_diffusion_has_a_panel_a_factor_and_a_colour_a_latent():
    steps, mi = np.arange(4), np.zeros((4, 3, 2))
    mi[:, 1, 0], mi[:, 2, 1], mi[2, 2, 1] = [0, 1, 2, 2], [0, 0.5, 1, 1], np.nan
    figure = information_diffusion(steps, mi, ["shape", "posX"])
    shape, position = visible(figure)
    assert [shape.get_title(loc="left"), position.get_title(loc="left")] == ["shape", "posX"]
    assert legend(figure) == ["z₁", "z₂", "1 other"]
    drawn = {to_hex(line.get_color()).upper(): line for line in position.get_lines()}
    np.testing.assert_array_equal(drawn[PALETTE[1]].get_xydata(), [(0, 0), (1, 0.5), (3, 1)])
    assert not drawn[PALETTE[0]].get_ydata().any()
    with pytest.raises(ValueError, match=r"expected \[T, D, F\]"):
        information_diffusion(steps, mi, ["shape"])


def test_diffusion_of_two_thousand_latents_says_how_many_are_drawn():
    mi = np.random.default_rng(0).uniform(0.5, 1, (3, 2048, 1))
    figure = information_diffusion(np.arange(3), mi, ["scale"])
    assert len(visible(figure)[0].get_lines()) == 8 + 64
    assert legend(figure)[-1] == "2040 others, 64 drawn"


def test_diffusion_of_latents_that_were_not_kept_draws_those_that_were():
    mi = np.full((3, 1024, 1), np.nan)
    mi[:, [5, 900]] = 1.0
    figure = information_diffusion(np.arange(3), mi, ["scale"], limit=1)
    assert len(visible(figure)[0].get_lines()) == 2
    assert legend(figure) == ["z₅", "1023 others, 1 drawn"]


def test_diffusion_of_several_runs_has_a_legend_and_words_of_each():
    steps, mi = np.arange(3), np.ones((3, 2, 3)) * np.arange(1, 4)
    names = ["shape", "scale", "$x$"]
    runs = {"VAE": (steps, mi, names), "GAN": "Why.", "other": (steps, 2 * mi[:, :, :2], names[:2])}
    figure = diffusions(runs, title="All", note="What to know. " * 20)
    first, second, third = figure.subfigs
    assert [len([a for a in part.axes if a.get_visible()]) for part in figure.subfigs] == [3, 0, 2]
    assert [legend(part) for part in (first, third)] == [["z₀", "z₁"]] * 2
    assert "Why." in [text.get_text() for text in second.texts]
    tops = [[axis.get_ylim()[1] for axis in part.axes] for part in (first, third)]
    np.testing.assert_allclose(tops[0], [2.12, 4.24, 3.18])  # a factor's most, and a little
    np.testing.assert_allclose(tops[1][:2], tops[0][:2])
    # Nothing lies over anything else, or outside.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axis.get_tightbbox() for part in (first, third) for axis in visible(part)]
    boxes += [part.legends[0].get_window_extent() for part in (first, third)]
    boxes += [text.get_window_extent() for text in (*figure.texts, *second.texts)]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, box
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, box
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_heatmap_annotates_every_cell_in_the_order_of_kl():
    mi = np.array([[0.1, 0.9], [1.5, np.nan], [0.0, 0.2]])
    axis = mutual_information(mi, ["shape", "posX"], kl=np.array([1.0, 0.2, 3.0])).axes[0]
    assert texts(axis) == ["0.00", "0.20", "0.10", "0.90", "1.50", "–"]
    names = [label.get_text().split()[0] for label in axis.get_yticklabels()]
    assert names == ["z₂", "z₀", "z₁"]
    framed = [(round(p.get_x() + 0.47), round(p.get_y() + 0.45)) for p in axis.patches]
    assert framed == [(0, 2), (1, 1)]


def test_heatmap_shows_the_most_informative_of_many_latents():
    mi = np.zeros((2048, 2))
    mi[[7, 1999], [0, 1]] = 1.0
    axis = mutual_information(mi, ["a", "b"], limit=16).axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == 16 and {"z₇", "z₁₉₉₉"} <= set(names)
    assert "2032 of 2048 latents not shown" in axis.get_xlabel()
    with pytest.raises(ValueError, match="expected"):
        mutual_information(mi, ["a"])


def score(metric, value, layer=0, protocol="dlib", representation="mean", **more):
    row = {"metric": metric, "value": value, "layer": layer, "protocol": protocol}
    row |= {"representation": representation, "better": "higher", "range": [0.0, 1.0], "unit": ""}
    return row | more


def test_bars_mark_floor_and_ceiling():
    rows = [
        score("mig", 0.3, floor=0.01, ceiling=0.896),
        score("mig", 0.2, layer=1, floor=0.01, ceiling=None),
        score("kl", 0.5, unit="nats", range=[0.0, None], better=None),
        score("gaussian_wasserstein_correlation", 0.5, range=[0.0, None]),
        score("jemmig_nats", 0.5, unit="nats"),
        score("diffusion", 0.5, better="lower"),
        score("sap", None),
        score("irs", 0.4, representation="sampled"),
    ]
    figure = score_bars(rows, layer_labels=["β=1", "β=10"])
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["MIG"]
    assert [p.get_width() for p in axis.patches] == pytest.approx([0.886, 0.3, 0.99, 0.2])
    assert [p.get_x() for p in axis.patches] == pytest.approx([0.01, 0, 0.01, 0])
    marks = [line.get_xdata()[0] for line in axis.get_lines()]
    np.testing.assert_allclose(marks, [0.01, 0.896, 0.01, np.nan])
    assert texts(axis) == ["0.30", "0.20"]
    assert legend(figure)[2:] == ["floor: noise code", "ceiling: perfect code"]


def test_layers_that_score_alike_are_one_bar_and_bars_are_where_their_name_is():
    """As DeVAE's, whose slow scores are measured of one layer."""
    rows = [score("mig", 0.35 + layer / 1e4, layer=layer) for layer in range(3)]
    rows += [score("med", 0.1 * layer, layer=layer) for layer in range(3)]
    rows += [score("dci_disentanglement", 0.5, layer=1)]
    figure = score_bars(rows)
    (axis,) = figure.axes
    middles = [patch.get_y() + patch.get_height() / 2 for patch in axis.patches[1::2]]
    assert middles == pytest.approx([0, 1 - 0.8 / 3, 1, 1 + 0.8 / 3, 2])
    assert texts(axis) == ["0.35", "0.00", "0.10", "0.20", "0.50"]
    assert legend(figure) == ["layer 0", "layer 1", "layer 2", "equal in all layers"]


def test_any_score_from_zero_to_one_is_drawn_whatever_its_name():
    rows = [score("diffusion_of_units", 0.4, range=(0, 1)), score("odd_nats", -0.01)]
    (axis,) = score_bars(rows).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["Diffusion of units", "Odd nats"]
    assert texts(axis) == ["0.40", "−0.01"]


def test_several_seeds_are_a_mean_and_dots_and_exact_scores_have_their_own_panel():
    rows = [score("mig", v) for v in (0.2, 0.4)] + [score("mig", 0.5, protocol="exact")]
    rows.append(score("jemmig", 0.6, protocol="binned"))
    dlib, exact = score_bars(rows).axes
    assert dlib.patches[1].get_width() == pytest.approx(0.3)
    assert dlib.get_lines()[2].get_xdata().tolist() == [0.2, 0.4]
    assert texts(dlib)[1:] == ["0.60"] and texts(exact) == ["0.50"]
    assert "exact" in exact.get_title(loc="left")
    assert "No score" in texts(score_bars([score("kl", 3.0, unit="nats")]).axes[0])[0]


def test_curves_that_all_fall_far_are_on_a_log_axis():
    """Runs of several methods; the first ends lower than the last begins, one has a single row."""
    steps = np.arange(3)
    first, last = np.array([150.0, 20, 15]), np.array([4000.0, 300, 200])
    runs = {
        "loss": [("b", steps, first), ("b", steps[:1], first[:1]), ("a", steps, last)],
        "kl": [("a", steps, np.array([0.1, 3, 9])), ("b", steps, np.array([20.0, 9, 1]))],
        "mig": [("a", steps, np.array([0.2, 0.19, 0.1]))],
    }
    loss, kl, mig, _ = curves(runs).axes
    assert [axis.get_yscale() for axis in (loss, kl, mig)] == ["log", "linear", "linear"]
    assert kl.get_title(loc="left") == "KL (nats)" and mig.get_title(loc="left") == "MIG"


def test_legends_of_many_methods_are_whole():
    names = [f"dSprites: method {i}" for i in range(46)]
    points = np.array([[1.0, 0.5], [2.0, 0.6]])
    lines = [(name, np.arange(2), points[:, 1]) for name in names]
    for figure in (trade_off(dict.fromkeys(names, points)), curves({"mig": lines, "kl": lines})):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.legends[0].get_window_extent(canvas.get_renderer())
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height and box.x1 <= figure.bbox.width


def test_names():
    assert titled("reconstruction_mean") == "Reconstruction error of means (nats)"
    assert titled("factor_vae") == "FactorVAE score" and titled("own") == "Own"
    assert latent_name(120) == "z₁₂₀"
    assert pretty("factor_vae") == "FactorVAE score"
    assert pretty("dci_disentanglement") == "DCI disentanglement"
    assert pretty("active_units") == "Active units"
    assert pretty("eval/my_own_score") == "Eval my own score"
