"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


def summary(row: Mapping[str, Any], members: int | None = None) -> str:
    """'loss 31.2 | recon 21.3 25.0 | KL 14.1 9.8 | MIG 0.41', layers from 0 up.

    Of a population the mean over its members.
    """
    names = {"loss": "loss", "reconstruction": "recon", "kl": "KL", "eval/mig": "MIG"}
    parts = []
    for key, label in names.items():
        if key in row:
            values = np.atleast_1d(np.asarray(row[key], float))
            values = np.atleast_1d(np.nanmean(values, axis=0)) if members else values
            parts.append(f"{label} " + " ".join("-" if np.isnan(v) else f"{v:.4g}" for v in values))
    return " | ".join(parts)


class Progress:
    """Steps, steps/s, time left, reconstruction error and KL of every layer."""

    def __init__(
        self,
        steps: int,
        *,
        initial: int = 0,
        enabled: bool = True,
        members: int | None = None,
    ):
        self._steps, self._enabled, self._members = steps, enabled, members
        self._bar = None
        self._last_line = 0.0
        self._mig: dict[str, Any] = {}
        if enabled and sys.stderr.isatty():
            layout = (
                "{percentage:3.0f}%|{bar:20}| {n}/{total} [{rate_fmt}, {remaining} left] {desc}"
            )
            self._bar = tqdm(
                total=steps, initial=initial, unit="step", bar_format=layout, dynamic_ncols=True
            )

    def update(self, step: int, row: Mapping[str, Any], rate: float) -> None:
        if not self._enabled:
            return
        if "eval/mig" in row:
            self._mig = {"eval/mig": row["eval/mig"]}
        text = summary({**row, **self._mig}, self._members)
        if self._bar is not None:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES or step >= self._steps:
            self._last_line = now
            left = (self._steps - step) / max(rate, 1e-9)
            print(
                f"step {step}/{self._steps} | {rate:.1f} steps/s | {left:.0f} s left | {text}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
