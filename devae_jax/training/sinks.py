"""Services that follow a run, beside its own files: optional, and never a reason to stop it.

A sink takes rows of numbers by tag. Its package is imported when a config names it; where it
writes offline, it writes into the run's folder.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Followed(NamedTuple):
    """What a sink is told of a run: its folder, and its settings by dotted keys."""

    folder: Path
    settings: Mapping[str, Any]


class Sink(Protocol):
    """write(step, numbers) for every row, close() once."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Wandb:
    """Weights & Biases; WANDB_MODE=offline writes W/wandb, WANDB_PROJECT names the project.

    A run that goes on is a new run of the same name and group there.
    """

    def __init__(self, run: Followed):
        import wandb

        project = os.environ.get("WANDB_PROJECT", "devae_jax")
        name = run.folder.name
        self._run = wandb.init(
            project=project, name=name, group=name, dir=str(run.folder), config=dict(run.settings)
        )

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """MLflow, at MLFLOW_TRACKING_URI, or in W/mlruns without it; the experiment is devae_jax."""

    def __init__(self, run: Followed):
        # MLflow 3 asks for this where it writes files instead of a data base.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        address = os.environ.get("MLFLOW_TRACKING_URI") or (run.folder / "mlruns").as_uri()
        self._client, self._metric = MlflowClient(tracking_uri=address), Metric
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "devae_jax")
        known = self._client.get_experiment_by_name(name)
        number = known.experiment_id if known else self._client.create_experiment(name)
        self._id = self._client.create_run(number, run_name=run.folder.name).info.run_id
        settings = [Param(key, str(value)[:500]) for key, value in run.settings.items()]
        for i in range(0, len(settings), 100):  # as many as one request may hold
            self._client.log_batch(self._id, params=settings[i : i + 100])

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        import time

        now = int(1000 * time.time())
        rows = [self._metric(_plain(tag), value, now, step) for tag, value in numbers.items()]
        for i in range(0, len(rows), 1000):
            self._client.log_batch(self._id, metrics=rows[i : i + 1000])

    def close(self) -> None:
        self._client.set_terminated(self._id)


def _plain(tag: str) -> str:
    """A tag of the characters that MLflow takes; in its files "loss/kl" would lie in "loss"."""
    return "".join(c if c.isalnum() or c in "_-. " else "_" for c in tag.replace("/", "."))


SINKS: dict[str, Callable[[Followed], Sink]] = {"wandb": Wandb, "mlflow": Mlflow}


class Guarded:
    """A sink whose failures are told once and then end it, not the run."""

    def __init__(self, name: str, run: Followed):
        self._name = name
        self._sink: Sink | None = None
        self._do(lambda: setattr(self, "_sink", SINKS[name](run)))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        sink = self._sink
        if sink is not None:
            self._do(lambda: sink.write(step, numbers))

    def close(self) -> None:
        sink = self._sink
        if sink is not None:
            self._do(sink.close)

    def _do(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # whatever a service or its package raises
            self._sink = None
            text = str(error).strip().split("\n")[0][:200] or type(error).__name__
            print(f"{self._name} takes no more rows ({text}); the run goes on", file=sys.stderr)


def opened(names: tuple[str, ...], run: Followed) -> list[Guarded]:
    """The sinks of these names, for the run."""
    return [Guarded(name, run) for name in names]
