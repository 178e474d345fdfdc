"""A linear support vector machine of one feature, solved on sorted moments.

SAP fits one for every latent, factor and value. With one feature the samples inside a margin
are a range of the sorted codes, so prefix sums of 1, x and x^2 give the objective, its gradient
and its Hessian: Newton's method needs no pass over the samples.
"""

from typing import NamedTuple

import numpy as np

_STEPS = 100
_HALVINGS = 40


class Lines(NamedTuple):
    """slope * x + offset for each value, [V]: the largest wins."""

    slope: np.ndarray
    offset: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The value of each code: [M] -> int64 [M]."""
        return (x.astype(np.float64)[:, None] * self.slope + self.offset).argmax(1)


class _Sorted(NamedTuple):
    """Codes in ascending order within segments [first, last), one a value; prefix moments."""

    x: np.ndarray  # [N]
    moments: np.ndarray  # [N + 1, 3]: sums of 1, x, x^2 of all before
    first: np.ndarray  # [V]
    last: np.ndarray  # [V]


class _Problems(NamedTuple):
    by_value: _Sorted  # the samples of each value
    all: _Sorted  # all samples, the same segment for every value
    inside: np.ndarray  # C of a value's own samples, [V]
    outside: np.ndarray  # C of the rest, [V]


def fit_lines(x: np.ndarray, labels: np.ndarray, num_values: int, c: float = 0.01) -> Lines:
    """One value against the rest, squared hinge loss, balanced as LIBLINEAR does it.

    Minimises (slope^2 + offset^2) / 2 + sum_i C_i max(0, 1 - y_i (slope x_i + offset))^2, where
    C_i is c N / (V N_v) for the N_v samples of the value and c for the rest; of two values each
    side has its own.

    Args:
      x: codes [N]; labels: int64 [N], of 0 .. V - 1, each at least once.
    """
    number = np.bincount(labels, minlength=num_values)
    inside = c * len(x) / (num_values * number)
    outside = inside[::-1] if num_values == 2 else np.full(num_values, c)
    problems = _Problems(*_sort(x.astype(np.float64), labels, number), inside, outside)
    line = np.zeros((num_values, 2))  # slope and offset
    value, gradient, hessian = _objective(problems, line)
    enough = 1e-9 * np.abs(gradient).max(1)
    for _ in range(_STEPS):
        step = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
        step[np.abs(gradient).max(1) <= enough] = 0.0
        for _ in range(_HALVINGS):  # as long as some problem would get worse
            new_value, gradient, hessian = _objective(problems, line + step)
            worse = new_value > value
            if not (worse & step.any(1)).any():
                break
            step[worse] *= 0.5
        line, value = line + step, new_value
        if not step.any():
            break
    return Lines(*line.T)


def _sort(x: np.ndarray, labels: np.ndarray, number: np.ndarray) -> tuple[_Sorted, _Sorted]:
    order = np.argsort(x, kind="stable")
    grouped = order[np.argsort(labels[order], kind="stable")]  # by value, then by code
    last = np.cumsum(number)
    by_value = _Sorted(x[grouped], _prefix(x[grouped]), last - number, last)
    whole = np.zeros_like(last), np.full_like(last, len(x))
    return by_value, _Sorted(x[order], _prefix(x[order]), *whole)


def _prefix(x: np.ndarray) -> np.ndarray:
    moments = np.zeros((len(x) + 1, 3))
    np.cumsum(np.stack([np.ones_like(x), x, x * x], axis=1), axis=0, out=moments[1:])
    return moments


def _moments(codes: _Sorted, line: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Moments [V, 3] of each segment's codes whose decision is below `level`, and above."""
    slope, offset = line.T
    flat = slope == 0
    border = (level - offset) / np.where(flat, 1.0, slope)
    border = np.where(flat, np.where(offset < level, np.inf, -np.inf), border)
    low, high = codes.first.copy(), codes.last.copy()
    while (low < high).any():  # bisection in all segments at once
        middle = (low + high) // 2
        right = (low < high) & (codes.x[np.minimum(middle, len(codes.x) - 1)] < border)
        low = np.where(right, middle + 1, low)
        high = np.where(right, high, np.minimum(middle, high))
    left = codes.moments[low] - codes.moments[codes.first]
    right = codes.moments[codes.last] - codes.moments[low]
    down = (slope < 0)[:, None]
    return np.where(down, right, left), np.where(down, left, right)


def _objective(problems: _Problems, line: np.ndarray):
    """Value [V], gradient [V, 2] and Hessian [V, 2, 2] at slope and offset `line` [V, 2]."""
    below, _ = _moments(problems.by_value, line, 1.0)
    above = _moments(problems.all, line, -1.0)[1] - _moments(problems.by_value, line, -1.0)[1]
    value, gradient, hessian = (
        0.5 * (line**2).sum(1),
        line.copy(),
        np.tile(np.eye(2), (len(line), 1, 1)),
    )
    slope, offset = line.T
    for (n, sx, sxx), sign, c in (
        (below.T, 1.0, problems.inside),
        (above.T, -1.0, problems.outside),
    ):
        b = offset - sign  # the residual is slope x + b
        value += c * (slope**2 * sxx + 2 * slope * b * sx + b**2 * n)
        gradient += (2 * c * np.stack([slope * sxx + b * sx, slope * sx + b * n])).T
        block = np.stack([np.stack([sxx, sx]), np.stack([sx, n])])
        hessian += (2 * c * block).transpose(2, 0, 1)
    return value, gradient, hessian
