"""Figures 3 and 4: traversals side by side, information over training; what lacks is named."""

import json

import numpy as np
import pytest

from devae_jax.studies import figure, given, information, make, results, rows, shown
from devae_jax.viz.save import save
from tests.launch.commands import call
from tests.studies.test_rows import opened, trained

FACTORS = ["shape", "posX"]


def informed(study, number, dim=3, seeds=(0, 1, 2)):
    """A program as `trained`, of which some seeds log mutual information [2, dim, 2] that tells
    step, latent and factor; the second layer's is larger."""
    trained(study, number)
    folder, members = study.folder(number), study.of_program(number)
    steps = members[0].config.steps
    first = np.arange(2 * dim).reshape(dim, 2) / 8
    log = folder.all_metrics()
    for row in log:
        del row["eval/mi"]
        if row["member"] in [m.number for m in members if m.seed in seeds]:
            row["eval/mi"] = [(row["step"] / steps * first).tolist(), (first + 5).tolist()]
    text = "".join(json.dumps(row) + "\n" for row in log)
    (folder.path / "metrics.jsonl").write_text(text)
    scores = folder.scores()
    folder.write_scores(
        [row | ({"factors": FACTORS} if row["metric"] == "mig" else {}) for row in scores]
    )


def words_of(picture):
    """All that is written on a figure and its parts."""
    texts = [text for part in (picture, *picture.subfigs) for text in part.texts]
    return [" ".join(text.get_text().split()) for text in texts]


@pytest.fixture
def pasted(monkeypatch):
    """What is put side by side: heading -> picture or words, and the page's title and note."""
    calls = []

    def beside(found, **about):
        calls.append((found, about))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr("devae_jax.studies.pictures.beside", beside)
    return calls


def test_rows_keep_mutual_information_at_eighths_in_columns_of_their_own(tmp_path):
    """So that all other columns stay numbers and words."""
    study = opened(tmp_path, "figure4", seeds=1)
    informed(study, 0)
    found = rows.collect(study).rows
    mine = [row for row in found if row["metric"] == "eval/mi"]
    assert [(row["at"], row["step"]) for row in mine] == list(
        zip(rows.SHARES, [5, 5, 10, 10, 15, 15, 20, 20], strict=True)
    )
    assert mine[-1]["mi"] == [[0.0, 0.12], [0.25, 0.38], [0.5, 0.62]]  # of the first layer
    assert mine[2]["mi"] == [[0.0, 0.06], [0.12, 0.19], [0.25, 0.31]]
    about = [(r["value"], r["layer"], r["latents"], r["latent_dim"], r["factors"]) for r in mine]
    assert about == [(None, 0, [0, 1, 2], 3, FACTORS)] * 8
    assert all({"mi", "latents"}.isdisjoint(row) for row in found if row["metric"] != "eval/mi")
    steps, mi = information.history(json.loads(line) for line in rows.lines(found).splitlines())
    assert steps.tolist() == [5, 10, 15, 20] and mi.shape == (4, 3, 2)
    assert mi[:, 2, 1].tolist() == [0.16, 0.31, 0.47, 0.62]


def test_of_a_thousand_latents_the_most_informative_are_kept():
    mi = np.zeros((2, 1, 1000, 2))
    mi[0, 0, 7, 0], mi[1, 0, 900, 1] = 1.0, 2.0
    logged = [(at, {"step": i, "eval/mi": mi[i].tolist()}) for i, at in enumerate((0.5, 1.0))]
    first, last = information.kept(logged, [])
    assert len(first["mi"]) == information.LATENTS and {7, 900} <= set(first["latents"])
    assert first["latents"] == last["latents"] == sorted(first["latents"])
    every = information.matrix(last)
    assert every.shape == (1000, 2) and every[900, 1] == 2 and every[7, 0] == 0
    assert np.isfinite(every).any(axis=1).sum() == information.LATENTS
    assert first["factors"] is None


@pytest.mark.parametrize(
    "damage",
    [
        {"mi": [[1.0], [1.0, 2.0]]},
        {"mi": "much"},
        {"mi": [1.0]},
        {"latents": [0, 9]},
        {"latents": [0]},
        {"latents": None},
        {"latent_dim": None},
    ],
)
def test_a_damaged_matrix_is_none(damage):
    whole = {"mi": [[1.0, None], [0.5, 0.0]], "latents": [0, 2], "latent_dim": 3}
    np.testing.assert_array_equal(
        information.matrix(whole), [[1, np.nan], [np.nan, np.nan], [0.5, 0]]
    )
    assert information.matrix(whole | damage) is None and information.matrix({}) is None


def test_figure_4_has_panels_of_every_method_and_names_runs_that_lack_them(tmp_path):
    study = opened(tmp_path, "figure4")
    informed(study, 0, seeds=[1])
    informed(study, 1, seeds=[])
    found = rows.collect(study).rows
    picture = figure.FIGURES[study.table.figure](study, found)
    axes = [axis for axis in picture.subfigs[0].axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == FACTORS
    lines = axes[1].get_lines()
    assert sorted(line.get_ydata()[-1] for line in lines) == [0.12, 0.38, 0.62]
    assert all(list(line.get_xdata()) == [5, 10, 15, 20] for line in lines)
    words = words_of(picture)
    assert words[0] == study.table.title and "DynamicVAE, seed 1" in words
    at = words.index("DeVAE")
    assert words[at + 1] == "The rows of its runs have no mutual information over training."
    lacking = (
        "Rows without mutual information over training: seed 0: DynamicVAE, seeds 0, 1: DeVAE."
    )
    assert words[1].endswith(lacking)
    # A line that no run is of yet; and nothing to draw.
    begun = figure.diffusion(study, [row for row in found if row["line"] == "DynamicVAE"])
    assert "No run of it is finished." in words_of(begun)
    assert figure.diffusion(study, []) is None


def test_panels_of_a_factor_have_one_scale_in_all_lines(tmp_path):
    study = opened(tmp_path, "figure4")
    informed(study, 0)
    informed(study, 1, dim=5)
    picture = figure.diffusion(study, rows.collect(study).rows)
    small, large = ([axis.get_ylim() for axis in part.axes] for part in picture.subfigs)
    assert small == large and small[1][1] > 1.12  # the most that five latents hold


def test_rows_of_before_mutual_information_was_kept_still_make_the_figure(tmp_path):
    study = opened(tmp_path / "figure4", "figure4")
    for number in (0, 1):
        informed(study, number)
    old = [row for row in rows.collect(study).rows if row["metric"] != "eval/mi"]
    file, picture = tmp_path / "old.jsonl", tmp_path / "f.png"
    file.write_text(rows.lines(old))
    flags = ["--preset=smoke", "--seeds=2", f"--workdir={tmp_path / 'none'}"]
    call("reproduce", "figure4", "--print", f"--rows={file}", f"--figure={picture}", *flags)
    assert picture.read_bytes()[1:4] == b"PNG"
    known = given.read([str(file)])
    assert given.left(study, known, range(2)) == []  # nothing is trained for the picture's sake
    words = words_of(
        figure.diffusion(study, rows.collect(opened(tmp_path / "none", "figure4"), known).rows)
    )
    assert words[1].endswith("training: seeds 0, 1: DynamicVAE; DeVAE.")
    # While the folders are there, gathering adds it.
    make._write_study(study)
    gathered, damaged = results.gathered([study.path], [str(file)])
    assert len(gathered) == len(old) + 4 * 8 and not damaged


def test_a_study_page_shows_the_information_of_runs_that_are_rows(tmp_path):
    first = opened(tmp_path / "figure2", "figure2")
    informed(first, 2)
    informed(first, 3, seeds=[])
    rows.write(first, rows.collect(first).rows)
    study = opened(tmp_path / "figure4", "figure4")
    make._write_study(study)
    known = given.read([str(first.path / "rows.jsonl")])
    rows.write(study, rows.collect(study, known).rows)
    page = tmp_path / "page.html"
    call("report", f"--runs={study.path}", f"--html={page}")
    text = page.read_text()
    alt = "Information that each latent of figure2: dynamic_vae,all, member 0 holds on each factor"
    assert alt in text and "Without mutual information over training: DeVAE." in text
    (member, *_) = shown.known([study.path])[0].members
    assert [len(row["eval/mig"]) for row in member.history] == [1] * 4  # a number a layer
    assert np.shape([row["eval/mi"] for row in member.history]) == (4, 1, 3, 2)
    assert {tuple(row["factors"]) for row in member.history} == {tuple(FACTORS)}
    # The second layer's was not kept.
    (other, *_) = shown.known([study.path], layer=1)[0].members
    assert not any("eval/mi" in row for row in other.history)


def test_figure_3_puts_the_first_drawn_seed_of_every_line_side_by_side(tmp_path, pasted):
    study = opened(tmp_path / "figure3", "figure3")
    for number in (0, 1, 2):
        trained(study, number)
    drawn = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    place = study.folder(0).figures(1)
    save(place / "traversals_layer0.png", drawn)
    save(place / "traversals_layer1.png", drawn[::-1])
    save(study.folder(1).figures(0) / "traversals_layer0.png", drawn)
    damaged = study.folder(1).figures(0) / "traversals_layer0.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    other = opened(tmp_path / "figure2", "figure2")
    trained(other, 3)
    rows.write(other, rows.collect(other).rows)
    known = given.read([str(other.path / "rows.jsonl")])
    found = rows.collect(study, known).rows
    assert figure.write(tmp_path / "f.png", study, found)
    ((pictures, about),) = pasted
    assert about["title"] == study.table.title and "Preset smoke" in about["note"]
    np.testing.assert_array_equal(pictures.pop("β-VAE (β = 6), seed 1"), drawn)
    anew = "launch/visualize.py draws it"
    assert pictures == {
        "β-TCVAE (β = 12)": "Seed 0 is trained and has no picture that can be read: "
        f"{anew} (beta_tcvae-paper,all, member 0).",
        "DynamicVAE": "Seed 0 is trained and has no picture that can be read: "
        f"{anew} (dynamic_vae,all, member 0).",
        "DeVAE": "Seed 0 is given as rows, which have no pictures.",
    }
    only = [row for row in found if row["line"] == "DeVAE"]
    figure.write(tmp_path / "f.png", study, only)
    assert pasted[1][0]["DynamicVAE"] == "No run of it is finished."
    assert figure.traversals(study, []) is None
