"""Statistics over the runs of a study: pure functions of arrays.

Scores are arrays of runs [R]; NaN marks a run without the score, which is left out.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from devae_jax.evaluation.rows import interval
from devae_jax.names import unknown

TESTS = ("wilcoxon", "t")


class Summary(NamedTuple):
    """Of the runs of one method: how many, where, how wide.

    std: with R - 1; None for one run
    low, high: 95 % interval of the mean by Student's t; None for one run
    """

    runs: int
    mean: float
    std: float | None
    low: float | None
    high: float | None
    median: float
    quartiles: tuple[float, float]


class Paired(NamedTuple):
    """Two methods over shared seeds, the first less the second.

    p: two-sided; `holm` is p corrected for all comparisons that were made together
    """

    first: str
    second: str
    seeds: int
    difference: float
    low: float | None
    high: float | None
    p: float
    holm: float


def summary(values: Sequence[float]) -> Summary:
    """Raises ValueError if no value is left."""
    known = _known(values)
    if not len(known):
        raise ValueError("got no scores, expected one run or more; score the runs first")
    low, high = interval(known.tolist())
    std = float(known.std(ddof=1)) if len(known) > 1 else None
    quartiles = np.quantile(known, [0.25, 0.75])
    return Summary(
        len(known),
        float(known.mean()),
        std,
        low,
        high,
        float(np.median(known)),
        (float(quartiles[0]), float(quartiles[1])),
    )


def rank_correlation(scores: Mapping[str, Sequence[float]]) -> tuple[list[str], np.ndarray]:
    """Spearman's rank correlation of every two scores over the same runs.

    Args:
      scores: name -> values of the runs, [R] each, of the same runs in the same order.

    Returns the names and the matrix [S, S], NaN where fewer than three runs have both scores or
    one of them is the same in all.

    Raises:
      ValueError: the scores are of different numbers of runs.
    """
    from scipy.stats import rankdata

    names = list(scores)
    values = [np.asarray(scores[name], float) for name in names]
    if len({value.shape for value in values}) > 1:
        lengths = {name: len(value) for name, value in zip(names, values, strict=True)}
        raise ValueError(f"got scores of {lengths} runs, expected the same runs; align them")

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < 3:
            return np.nan
        x, y = (rankdata(v[both]) - (both.sum() + 1) / 2 for v in (a, b))
        norm = np.sqrt(np.square(x).sum() * np.square(y).sum())
        return float((x * y).sum() / norm) if norm else np.nan

    return names, np.array([[correlation(a, b) for b in values] for a in values])


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values corrected for all that are given, by Holm's step-down procedure (Holm 1979).

    Raises:
      ValueError: one is not in [0, 1].
    """
    values = np.asarray(p, float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"got p-values {values.tolist()}, expected numbers in [0, 1]; fix them")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def paired(
    scores: Mapping[str, Mapping[int, float]],
    *,
    test: str = "wilcoxon",
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Paired]:
    """Every two methods compared over the seeds that both have, p-values corrected by Holm.

    Args:
      scores: method -> seed -> score.
      test: "wilcoxon", the signed-rank test, or "t", Student's paired test. With n seeds the
        first cannot give a p below 2 / 2^n: 5 seeds are too few for .05.
      pairs: the methods to compare, if not every two.

    Raises:
      ValueError: unknown test, or two methods that share fewer than two seeds.
    """
    if test not in TESTS:
        raise unknown("test", test, TESTS)
    from scipy import stats

    found = []
    for first, second in itertools.combinations(scores, 2) if pairs is None else pairs:
        a, b = scores[first], scores[second]
        seeds = [s for s in sorted(a.keys() & b.keys()) if np.isfinite(a[s] + b[s])]
        if len(seeds) < 2:
            raise ValueError(
                f"got {len(seeds)} seeds that {first} and {second} share, expected 2 or more; "
                "train both with the same seeds"
            )
        gaps = np.array([a[seed] - b[seed] for seed in seeds])
        low, high = interval(gaps.tolist())
        if np.allclose(gaps, gaps[0], rtol=1e-9, atol=0):  # no spread: the tests divide by it
            p = 1.0 if gaps[0] == 0 else float(2.0 ** (1 - len(gaps)))
        elif test == "t":
            p = float(stats.ttest_1samp(gaps, 0.0).pvalue)
        else:
            p = float(stats.wilcoxon(gaps).pvalue)
        found.append(Paired(first, second, len(seeds), float(gaps.mean()), low, high, p, p))
    corrected = holm([each.p for each in found])
    return [each._replace(holm=float(p)) for each, p in zip(found, corrected, strict=True)]


def pareto(gain: Sequence[float], cost: Sequence[float]) -> np.ndarray:
    """Which runs no other beats: none has as much gain for less cost, or more for as much.

    Args:
      gain, cost: of the runs [R], as MIG and reconstruction error.

    Returns their numbers, by rising cost; runs without one of the two are left out.

    Raises:
      ValueError: gain and cost are of different numbers of runs.
    """
    up, down = np.asarray(gain, float), np.asarray(cost, float)
    if up.shape != down.shape:
        raise ValueError(
            f"got gain of {len(up)} and cost of {len(down)} runs, expected the same; align them"
        )
    known = np.flatnonzero(np.isfinite(up) & np.isfinite(down))
    front = [
        i
        for i in known
        if not any(
            up[j] >= up[i] and down[j] <= down[i] and (up[j] > up[i] or down[j] < down[i])
            for j in known
        )
    ]
    return np.array(sorted(front, key=lambda i: (down[i], i)), int)


def gain_at(
    gain: Sequence[Sequence[float]], cost: Sequence[Sequence[float]], at: float
) -> float | None:
    """The gain that settings have at a cost, on a line between the means of the two nearest.

    Args:
      gain, cost: of the runs of each setting, [S] lists, as MIG and reconstruction error.
      at: the cost.

    Returns None where no settings lie on both sides of it.

    Raises:
      ValueError: gain and cost are of different numbers of settings, or one has no runs.
    """
    if len(gain) != len(cost):
        raise ValueError(
            f"got gain of {len(gain)} and cost of {len(cost)} settings, expected the same; align "
            "them"
        )
    means = sorted((summary(c).mean, summary(g).mean) for g, c in zip(gain, cost, strict=True))
    costs, gains = np.array(means).reshape(-1, 2).T
    if not len(costs) or not costs[0] <= at <= costs[-1]:
        return None
    return float(np.interp(at, costs, gains))


def sensitivity(
    values: Sequence[Any], scores: Sequence[float]
) -> tuple[list[tuple[Any, Summary]], float]:
    """How a score depends on a hyperparameter: its summary at each value, and the share explained.

    Args:
      values: of the hyperparameter, one a run; the runs of a value differ in seeds.
      scores: of the runs.

    Returns the (value, summary) pairs in the order of `values`, and eta^2, the share of the
    variance over all runs that lies between the values: 0 if it has no effect, 1 if runs of one
    value are equal; NaN where all scores are.

    Raises:
      ValueError: values and scores are of different numbers of runs, or none has a score.
    """
    known = np.asarray(scores, float)
    if len(values) != len(known):
        raise ValueError(
            f"got {len(values)} values and {len(known)} scores, expected one each a run; align them"
        )
    if not np.isfinite(known).any():
        raise ValueError("got no scores, expected one run or more; score the runs first")
    groups: dict[str, tuple[Any, list[float]]] = {}
    for value, score in zip(values, known, strict=True):
        if np.isfinite(score):
            groups.setdefault(repr(value), (value, []))[1].append(float(score))
    everything = known[np.isfinite(known)]
    total = float(np.square(everything - everything.mean()).sum())
    between = sum(
        len(group) * (np.mean(group) - everything.mean()) ** 2 for _, group in groups.values()
    )
    found = [(value, summary(group)) for value, group in groups.values()]
    return found, float(between / total) if total else float("nan")


def _known(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]
