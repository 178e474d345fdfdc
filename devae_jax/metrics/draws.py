"""Random draws of the metrics, in the exact order of numpy's legacy stream.

Published FactorVAE and beta-VAE scores call `RandomState.randint` once a factor and vote,
90,000 times a score. The same numbers come out of blocks of raw 32-bit words: `randint(n)`
masks each word to the bits of n - 1 and skips the words that are still too large.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

_BLOCK = 1 << 16  # words looked at together: fits the cache


class Votes(NamedTuple):
    """Batches of grid points in which one factor is held.

    fixed: the factor held in each vote, int64 [V]
    points: their row-major grid index, int64 [V, groups, batch]
    """

    fixed: np.ndarray
    points: np.ndarray


def numpy_rng(key: int | jax.Array) -> np.random.RandomState:
    """The host's random stream for an int seed or a jax key.

    An int seed gives `RandomState(seed)`, the stream of published scores.
    """
    if isinstance(key, int | np.integer):
        return np.random.RandomState(key)
    return np.random.RandomState(np.asarray(jax.random.key_data(key)).ravel())


def sample_factors(rng: np.random.RandomState, sizes: Sequence[int], n: int) -> np.ndarray:
    """Independent uniform factors [n, F], drawn one whole factor after another."""
    return np.stack([rng.randint(size, size=n) for size in sizes], axis=1)


def draw_votes(
    rng: np.random.RandomState,
    sizes: Sequence[int],
    votes: int,
    batch: int,
    groups: int = 1,
    held: Sequence[int] | np.ndarray | None = None,
) -> Votes:
    """`votes` times: a factor k, then `groups` batches of points that share their value of k.

    One group holds a single value of factor k (FactorVAE); in two groups, point i of both
    shares its value (beta-VAE). Equal to, for every vote, `k = rng.randint(F)` and
    `sample_factors` a group, after which column k is overwritten. Every size is 2 or more.
    held: the factors that k is one of, all by default
    """
    choice = np.arange(len(sizes)) if held is None else np.asarray(held)
    fixed = np.empty(votes, np.int64)
    points = np.zeros((votes, groups, batch), np.int64)
    words, done = np.empty(0, np.uint32), 0
    while done < votes:
        fresh = rng.randint(0, 1 << 32, size=_BLOCK + 4 * batch * groups, dtype=np.uint32)
        words = np.concatenate([words, fresh])
        accepted = {size: _accept(words, size) for size in set(sizes)}
        calls = [accepted[size] for size in sizes] * groups
        drawn, places, used = _walk(words.data, calls, len(choice), batch, votes - done)
        if drawn:
            part = slice(done, done + len(drawn))
            fixed[part] = choice[drawn]
            values = [
                np.lib.stride_tricks.sliding_window_view(call.values, batch)[place]
                for call, place in zip(calls, np.transpose(places), strict=True)
            ]
            _number(points[part], fixed[part], values, sizes)
        words, done = words[used:], done + len(drawn)
    return Votes(fixed, points)


class _Accepted(NamedTuple):
    """What `randint(size)` makes of a block of words.

    values: the numbers it would return
    position: the word each comes from, None where every word is used
    before: how many are accepted before each word, None likewise
    """

    values: np.ndarray
    position: memoryview | None
    before: memoryview | None


def _mask(size: int) -> int:
    return (1 << (size - 1).bit_length()) - 1


def _accept(words: np.ndarray, size: int) -> _Accepted:
    mask = _mask(size)
    values = words.astype(np.min_scalar_type(mask)) & mask  # the low bits are enough
    if size & (size - 1) == 0:
        return _Accepted(values, None, None)
    good = values < size
    position = np.flatnonzero(good)
    before = np.zeros(len(words) + 1, np.int32)
    np.cumsum(good, dtype=np.int32, out=before[1:])
    return _Accepted(values[position], position.data, before.data)


def _walk(
    words: memoryview, calls: list[_Accepted], num_factors: int, batch: int, most: int
) -> tuple[list[int], list[list[int]], int]:
    """Follow the stream, call by call, for as many whole votes as the words allow.

    Returns the held factors [v], where each call begins among its accepted values
    [v, calls], and the number of words used.
    """
    ends = [len(call.values) - batch for call in calls]
    held: list[int] = []
    places: list[list[int]] = []
    mask, used = _mask(num_factors), 0
    while len(held) < most:
        at, factor, begins = used, 0, []
        if num_factors > 1:
            factor = num_factors
            while factor >= num_factors:
                if at == len(words):
                    return held, places, used
                factor = words[at] & mask
                at += 1
        for (_, position, before), end in zip(calls, ends, strict=True):
            begin = at if before is None else before[at]
            if begin > end:
                return held, places, used
            begins.append(begin)
            at = begin + batch if position is None else position[begin + batch - 1] + 1
        held.append(factor)
        places.append(begins)
        used = at
    return held, places, used


def _number(
    points: np.ndarray, fixed: np.ndarray, values: list[np.ndarray], sizes: Sequence[int]
) -> None:
    """Give every vote its shared value and write the points' row-major numbers."""
    for k, size in enumerate(sizes):
        rows = np.flatnonzero(fixed == k)
        groups = values[k :: len(sizes)]
        for group in groups:
            group[rows] = groups[0][rows] if len(groups) > 1 else group[rows, :1]
        points *= size
        points += np.stack(groups, axis=1)
