"""The pages in the dark, on paper and on a phone, as a real browser lays them out."""

import pytest

from devae_jax.viz import draw_all
from devae_jax.viz.members import Member
from devae_jax.viz.study import study
from tests.viz.browser import DESK, PHONE, Look, needs_chromium, seen
from tests.viz.test_drawing import world

DARK = Look(dark=True)
PAPER = Look(
    dark=True, media="print", width=960
)  # who prefers the dark prints on white all the same
LONG = "a-very-long-name-without-a-space-" * 4
METRICS = ["mig", "reconstruction_sampled", "kl", "active_units", "sap", "modularity", "jemmig"]

# The page's colours as luminance (W3C, WCAG 2: 0 black, 1 white), its widths, and what is shown.
MEASURED = """
const channel = c => c <= 10.31475 ? c / 3294.6 : ((c / 255 + .055) / 1.055) ** 2.4;
const parts = text => text.match(/[\\d.]+/g).map(Number);
const luminance = text => parts(text).slice(0, 3).reduce(
  (sum, c, i) => sum + [.2126, .7152, .0722][i] * channel(c), 0);
const style = element => getComputedStyle(element);
const behind = element => {
  while (parts(style(element).backgroundColor)[3] === 0) element = element.parentElement;
  return luminance(style(element).backgroundColor);
};
const contrast = element => {
  const both = [luminance(style(element).color), behind(element)].sort((a, b) => a - b);
  return (both[1] + .05) / (both[0] + .05);
};
const written = [...document.body.querySelectorAll('*')].filter(element =>
  element.getClientRects().length && !element.closest('noscript') &&
  [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const shown = query => [...document.querySelectorAll(query)].filter(
  element => element.getClientRects().length).length;
const page = document.documentElement;
return {
  paper: behind(document.body), ink: luminance(style(document.body).color),
  faint: written.filter(element => contrast(element) < 4.5).map(element => element.outerHTML),
  texts: written.length, width: page.clientWidth, needed: page.scrollWidth,
  asked: shown('nav a, .controls, .card input, .help'), pictures: shown('figure img, .cell'),
  scroll: [...document.querySelectorAll('figure, .scroll')].filter(
    element => style(element).overflowX !== 'visible').length,
};
"""


def run_page(folder):
    config = {"seed": 0, LONG: {LONG: [LONG] * 2}}
    drawn = draw_all(folder, title=f"Run {LONG}", config=config, **world(2, 3, 1))
    return drawn["report.html"].read_text()


def study_page(folder=None, sets=("dSprites", "Shapes3D")):
    members = [
        Member(
            run=f"{LONG}{seed}",
            member=seed,
            link=f"{LONG}/report.html",
            label=f"{data}: {LONG}",
            seed=seed,
            step=40,
            settings={LONG: seed, "objective.terms.kl.betas": [1.0, 10.0 * seed]},
            data=data,
            version="1",
            scores=[{"metric": name, "value": 0.1 * seed} for name in METRICS],
            history=[{"step": t, "loss": 9.0 - t, "eval/mig": [0.1 * t]} for t in range(3)],
            lacks=[] if seed else ["not scored", "no page"],
        )
        for data in sets
        for seed in range(3)
    ]
    return study(members, title=f"Study {LONG}", command=f"python {LONG}", missing=[LONG])


@needs_chromium
@pytest.mark.parametrize("made", [run_page, study_page])
def test_a_page_in_the_dark_on_paper_and_on_a_phone(made, tmp_path):
    looks = [DESK, DARK, PAPER, PHONE]
    desk, dark, paper, phone = seen(made(tmp_path), MEASURED, tmp_path, looks)
    for found in (desk, dark, paper, phone):
        assert found["errors"] == [] and found["faint"] == [] and found["texts"] > 20
    assert desk["paper"] == paper["paper"] == phone["paper"] == 1 and desk["ink"] < 0.02
    assert dark["paper"] < 0.02 and dark["ink"] > 0.8
    assert paper["ink"] < 0.02 and paper["asked"] == 0 < desk["asked"]
    assert paper["pictures"] == desk["pictures"] > 0
    assert paper["scroll"] == 0 < desk["scroll"]
    assert phone["width"] == 390  # of the page: its pictures and tables may be wider, and scroll
    assert all(found["needed"] == found["width"] for found in (desk, dark, paper, phone))
