"""The tables of a study's page, and the members that they are of."""

import json
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from devae_jax.viz.rows import Row, number_of
from devae_jax.viz.style import number, titled

FIRST = ("mig", "reconstruction_sampled", "kl")  # of the scores; the others follow
VALUES = 8  # of a key, that the table of differences shows
NAMED = 3  # methods that it names beside a value; of more it says how many members have it
NO_PAGE = "no page"  # in `lacks`: of a member that is complete but for its own page

CSS = """
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th button::after { content: ' \\2195'; color: var(--muted); font-weight: 400; }
th[aria-sort=ascending] button::after { content: ' \\2191'; color: var(--accent); }
th[aria-sort=descending] button::after { content: ' \\2193'; color: var(--accent); }
.controls { display: flex; flex-wrap: wrap; gap: 10px 16px; align-items: center;
  margin: 8px 0; font-size: 14px; color: var(--muted); }
.controls input { width: 24em; max-width: 100%; }
tbody tr:hover { background: var(--raised); }
table.members td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 24ch; }
td.state { white-space: normal; min-width: 18ch; }
ul.missing { padding-left: 20px; }
.state { color: var(--muted); }
@media screen { .scroll > table.wide tr > :first-child { position: sticky; left: 0;
  background: var(--paper); } .scroll > table.wide tbody tr:hover > :first-child {
  background: var(--raised); } }
@media (max-width: 640px) { table.members td:first-child { min-width: 15ch; } }
@media print { th button::after { content: ''; } table.members td:first-child { min-width: 12ch; }
  td.state { min-width: 0; } }
"""

SCRIPT = """
(() => {
  const table = document.querySelector('table.members');
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], filter = document.getElementById('filter');
  const count = document.getElementById('count');
  const show = () => {
    const words = filter.value.toLowerCase().split(/\\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = shown + ' of ' + rows.length;
  };
  filter.addEventListener('input', show);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      for (const other of table.tHead.rows[0].cells) other.setAttribute('aria-sort', 'none');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => {
        const x = key(a), y = key(b);
        if (x === '' || y === '') return (x === '') - (y === '');  // what is not known is last
        const found = head.classList.contains('n') ? x - y :
          x.localeCompare(y, undefined, {numeric: true});
        return up ? found : -found;
      };
      rows.sort(order);
      body.append(...rows);
    });
  });
  show();
})();
"""


class Member(NamedTuple):
    """One run of a study, or one member of a population.

    run: its folder's name; link: the address of its page from the study's, None for none
    label: its method, with the settings in which runs of that method differ
    step: how far it came
    settings: with dotted keys, without the seed; data, version: what it was trained on and by
    scores: rows of one layer's mean codes and one protocol; history: rows of metrics
    lacks: what is not there yet, in words
    """

    run: str
    member: int | None
    link: str | None
    label: str
    seed: Any
    step: int
    settings: Mapping[str, Any]
    data: str
    version: str
    scores: Sequence[Row]
    history: Sequence[Row]
    lacks: Sequence[str]

    @property
    def complete(self) -> bool:
        """Trained and scored; its own page may be missing."""
        return not set(self.lacks) - {NO_PAGE}

    @property
    def name(self) -> str:
        """Of the run and the member."""
        return self.run if self.member is None else f"{self.run}, member {self.member}"

    def value(self, metric: str, key: str = "value") -> float:
        """A score, or its floor or ceiling; NaN where it was not measured."""
        rows = [row for row in self.scores if row["metric"] == metric]
        return number_of(rows[0], key) if rows else float("nan")


def scores_of(members: Sequence[Member]) -> list[str]:
    """The names of all scores that some member has, reconstruction beside KL."""
    found = dict.fromkeys(
        row["metric"]
        for member in members
        for row in member.scores
        if np.isfinite(number_of(row, "value"))
    )
    return [name for name in FIRST if name in found] + [n for n in found if n not in FIRST]


def methods_table(members: Sequence[Member], metrics: Sequence[str]) -> str:
    """A line for each method: how many members, mean ± standard deviation of every score."""
    head = '<th>Method</th><th class="n">Members</th>'
    head += "".join(f'<th class="n">{escape(titled(name))}</th>' for name in metrics)
    body = ""
    for label, mine in by_label(members).items():
        body += f'<tr><th>{escape(label)}</th><td class="n">{len(mine)}</td>'
        body += "".join(f'<td class="n">{_spread(mine, name)}</td>' for name in metrics) + "</tr>\n"
    return _table("wide", head, body)


def members_table(members: Sequence[Member], metrics: Sequence[str]) -> str:
    """A line for each member, with its link; the page's script sorts and filters it."""
    several = len({m.data for m in members}) > 1
    words, numeric = (
        ["Run", "Method", *["Data"] * several],
        ["Seed", "Steps", *map(titled, metrics)],
    )
    head = "".join(
        f'<th scope="col" aria-sort="none"{kind}><button type="button">{escape(name)}</button></th>'
        for kind, names in (("", words), (' class="n"', numeric), ("", ["State"]))
        for name in names
    )
    body = ""
    for m in members:
        name = escape(m.name).replace(",", ",<wbr>")
        link = name if m.link is None else f'<a href="{escape(quote(m.link))}">{name}</a>'
        cells = [link, escape(m.label), *[escape(m.data)] * several]
        body += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells)
        body += _cell(float("nan") if m.seed is None else m.seed, 0) + _cell(m.step, 0)
        body += "".join(_cell(m.value(name)) for name in metrics)
        state = ", ".join(["complete"] * m.complete + list(m.lacks))
        body += f'<td class="state">{escape(state)}</td></tr>\n'
    return (
        '<div class="controls"><label for="filter">Filter</label>'
        '<input type="search" id="filter" placeholder="words of a line, such as a method">'
        f'<span id="count" aria-live="polite"></span></div>{_table("members wide", head, body)}'
    )


def differences(members: Sequence[Member]) -> str:
    """Keys whose value is not the same in all members: each value, and whose it is."""
    keys = dict.fromkeys(key for m in members for key in m.settings)
    lines = ""
    for key in keys:
        whose: dict[str, list[str]] = {}
        for m in members:
            value = m.settings.get(key)
            text = f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)
            whose.setdefault("not set" if value is None else text, []).append(m.label)
        found = sorted(whose.items(), key=lambda each: -len(each[1]))
        if len(found) > 1:
            shown = "<br>".join(f"{escape(v)} {_labels(each)}" for v, each in found[:VALUES])
            more = f"<br>and {len(found) - VALUES} more" if len(found) > VALUES else ""
            lines += f"<tr><th>{escape(key)}</th><td>{shown}{more}</td></tr>\n"
    if not lines:
        return "<p>None: members differ in their seed alone.</p>"
    return f'<div class="scroll"><table class="config"><tbody>\n{lines}</tbody></table></div>'


def _labels(labels: Sequence[str]) -> str:
    """Whose a value is, in words, as HTML."""
    names = list(dict.fromkeys(labels))
    words = ", ".join(names) if len(names) <= NAMED else f"{len(labels)} members"
    return f'<span class="state">({escape(words)})</span>'


def by_label(members: Sequence[Member]) -> dict[str, list[Member]]:
    """Members of each label, in the order in which labels come."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(member.label, []).append(member)
    return groups


def values_of(members: Sequence[Member], metric: str, key: str = "value") -> list[float]:
    """A score of all members that have it."""
    values = [member.value(metric, key) for member in members]
    return [value for value in values if np.isfinite(value)]


def _spread(members: Sequence[Member], metric: str) -> str:
    values = values_of(members, metric)
    if not values:
        return "–"
    mean = statistics.fmean(values)
    digits = 3 if abs(mean) < 10 else 1
    spread = f" ± {number(statistics.stdev(values), digits)}" if len(values) > 1 else ""
    return number(mean, digits) + spread


def _cell(value: Any, digits: int | None = None) -> str:
    """A number, and what it is sorted by; an empty key where it is not known."""
    found = number_of({"value": value}, "value")
    if not np.isfinite(found):
        return '<td class="n" data-value="">–</td>'
    digits = (3 if abs(found) < 10 else 1) if digits is None else digits
    text = f"{found:,.0f}" if digits == 0 else number(found, digits)
    return f'<td class="n" data-value="{found!r}">{text}</td>'


def _table(kind: str, head: str, body: str) -> str:
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )
