"""Which of many runs to take: by agreement without labels, or by a rule over their scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from devae_jax.metrics.kl import kl
from devae_jax.metrics.udr import udr
from devae_jax.names import unknown

ORDERS = ("highest", "lowest")


def by_agreement(
    runs: Sequence[Any], images: Any, *, layer: int = 0, method: str = "spearman"
) -> np.ndarray:
    """UDR of every run among these, [R]: how alike its latents are to those of the others.

    No labels are needed. Runs of one setting that differ in seeds are ranked among themselves
    in the paper; here all that are passed are compared.

    Args:
      runs: with `encode`, as `Run`; trained on the same data, 2 or more.
      images: [N, H, W, C] in [0, 1], the same for all.
      layer: whose mean codes.
      method: of `metrics.udr`.

    Raises:
      ValueError: fewer than two runs, or a layer that one lacks.

    Source: Duan et al. 2020, see `metrics.udr`.
    """
    codes, costs = [], []
    for run in runs:
        posterior = run.encode(images)
        mean, logvar = np.asarray(posterior.mean), np.asarray(posterior.logvar)
        if not 0 <= layer < len(mean):
            raise ValueError(
                f"got layer={layer}, expected 0 to {len(mean) - 1}, as each run has; choose one"
            )
        codes.append(mean[layer])
        costs.append(kl(mean[layer], logvar[layer])["per_latent"])
    return udr(codes, costs, method=method)["udr"]


def best(
    scores: Mapping[str, Sequence[float]],
    rule: Sequence[tuple[str, str]],
    limits: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> int:
    """The number of the best run by a rule; of equal ones the first.

    Args:
      scores: name -> values of the runs [R].
      rule: (score, "highest" or "lowest") by falling weight; a later one decides between equals.
      limits: score -> (least, most), None for no end: runs outside, or without it, are left out.

    Raises:
      ValueError: unknown score or order, an empty rule, or no run within the limits.
    """
    limits = limits or {}
    for name in (*(name for name, _ in rule), *limits):
        if name not in scores:
            raise unknown("score", name, scores)
    for _, order in rule:
        if order not in ORDERS:
            raise unknown("order", order, ORDERS)
    if not rule:
        raise ValueError('got an empty rule, expected one such as [("mig", "highest")]; write it')
    values = {name: np.asarray(given, float) for name, given in scores.items()}
    fits = np.isfinite(values[rule[0][0]])
    for name, (least, most) in limits.items():
        low, high = (-np.inf if least is None else least), (np.inf if most is None else most)
        fits &= (values[name] >= low) & (values[name] <= high)
    if not fits.any():
        raise ValueError(
            f"got no run with {rule[0][0]} and within {dict(limits)}, expected one; widen "
            "the limits"
        )

    def key(run: int) -> tuple[float, ...]:
        signed = (values[n][run] * (-1 if order == "highest" else 1) for n, order in rule)
        return tuple(np.inf if np.isnan(value) else float(value) for value in signed)

    return min(map(int, np.flatnonzero(fits)), key=key)
