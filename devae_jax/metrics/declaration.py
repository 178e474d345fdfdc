"""What a metric says of itself, and what it is given."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

# What a metric may need, and what is missing where it cannot be had.
NEEDS = {
    "factors": "data without factors",
    "values": "data without factors",
    "continuous": "data without continuous factors",
    "grid": "data without a factor grid",
    "posterior": "codes without a posterior",
    "decode": "a model without a decoder",
}


class Inputs(NamedTuple):
    """All that a metric may look at: one layer of one representation, one evaluation seed.

    codes, logvar [N, D] and factors [N, F] of the sample, or of all images under "exact";
        factors are the discrete ones, None for data without
    codes_test, factors_test: of the test sample, empty for a metric that is not `tested`
    represent, source: as `factor_vae` takes them
    protocol: "dlib" or "exact"
    error: codes [n, D] of the sample's first n images -> their reconstruction errors, nats [n];
        None where nothing decodes
    values, values_test, continuous: all factors as numbers [N, F], those of the test sample, and
        which are continuous; None for data without
    """

    codes: np.ndarray
    logvar: np.ndarray
    factors: np.ndarray | None
    codes_test: np.ndarray
    factors_test: np.ndarray | None
    represent: Any
    source: Any
    seed: int
    protocol: str = "dlib"
    error: Callable[[np.ndarray], np.ndarray] | None = None
    values: np.ndarray | None = None
    values_test: np.ndarray | None = None
    continuous: tuple[bool, ...] = ()

    @property
    def split(self) -> tuple[Any, Any, Any, Any]:
        return self.codes, self.factors, self.codes_test, self.factors_test

    @property
    def numeric(self) -> tuple[Any, Any, Any, Any]:
        return self.codes, self.values, self.codes_test, self.values_test

    def errors(self, codes: np.ndarray) -> np.ndarray:
        """Reconstruction errors of the first n images from codes [n, D]: nats, [n].

        Raises ValueError where nothing decodes.
        """
        if self.error is None:
            raise ValueError("got no decoder, expected Inputs.error; pass the decoder's error")
        return self.error(codes)


class Score(NamedTuple):
    """One number of a metric's result: a row of its own.

    name: the row's name, of this score alone
    key: where it is in the result
    label: as printed
    better: "higher", "lower", or None where it is neither good nor bad
    range: what it spans, for axes; None where there is no end
    unit: "nats", "latents"; empty for parts of one
    details: further keys of the result that belong to this row; the first score has the rest
    """

    name: str
    key: str
    label: str
    better: str | None = "higher"
    range: tuple[float | None, float | None] = (0.0, 1.0)
    unit: str = ""
    details: tuple[str, ...] = ()


class Metric(NamedTuple):
    """A metric as `evaluate` uses it.

    group: "cheap" during training too; "standard" in "all"; "continuous" in "all" where the data
        has continuous factors; "extra" by name alone
    needs: of "factors" (discrete ones), "values" (factors of any kind), "continuous" (at least
        one such), "grid" (draws points with factors held), "posterior" (its variances, or that
        codes are its means: not for sampled codes) and "decode"
    protocol: what its numbers are: "dlib" (definition and options of disentanglement_lib),
        "paper" (of its paper), "binned" (the paper's, with information in bins), "formula"
        (nothing to choose), or the model that predicts
    exact: what its "exact" protocol needs, the whole "grid" or a "sample"; None without one
    costly: run on the first evaluation seed alone
    seconds: (N, D, factor sizes) -> about how many CPU seconds, for those that take long
    calibrated: has a floor (noise code) and a ceiling (perfect code)
    tested: looks at the test sample, which is encoded only if a metric does; without, it is empty
    """

    run: Callable[[Inputs], dict[str, Any]]
    scores: tuple[Score, ...]
    group: str
    needs: tuple[str, ...]
    protocol: str
    exact: str | None = None
    costly: bool = False
    seconds: Callable[[int, int, Sequence[int]], float] | None = None
    calibrated: bool = True
    tested: bool = True


def missing(metric: Metric, available: Collection[str]) -> str:
    """What a metric needs that is not available, in words."""
    lacking = [NEEDS[need] for need in metric.needs if need not in available]
    if "values" in available:  # the factors that there are, are continuous
        lacking = [text.replace("without factors", "without discrete factors") for text in lacking]
    return " and ".join(lacking)
