"""Services that follow a run, beside its own files: optional, and never a reason to stop it.

A sink takes rows of numbers by tag. Its package is imported when a config names it; where it
writes offline, it writes into the run's folder.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Followed(NamedTuple):
    """What is told of a run: its folder, and its own settings by dotted keys.

    member: which of a population, whose members are runs of their own; None for a run alone
    varied: the settings by which the population's members are told from each other
    """

    folder: Path
    settings: Mapping[str, Any]
    member: int | None = None
    varied: Collection[str] = ()

    @property
    def group(self) -> str:
        """What the members of a population have in common, and a run with its later starts."""
        return self.folder.name

    @property
    def name(self) -> str:
        return self.group if self.member is None else f"{self.group}/member_{self.member}"


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

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "devae_jax"),
            name=run.name,
            group=run.group,
            dir=str(run.folder),
            config=dict(run.settings),
            reinit="create_new",  # members are followed at once
        )

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """MLflow, at MLFLOW_TRACKING_URI, or in W/mlruns without it; the experiment is devae_jax.

    The tag "group" is there what Weights & Biases calls so.
    """

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
        tags = {"group": run.group}
        self._id = self._client.create_run(number, run_name=run.name, tags=tags).info.run_id
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
    """A service's sinks, one a run, whose failures are told once and then end all, not the runs."""

    def __init__(self, name: str, runs: Sequence[Followed]):
        self._name = name
        self._sinks: list[Sink] = []
        with self._guarded():
            self._sinks = [SINKS[name](run) for run in runs]

    def write(self, step: int, rows: Sequence[Mapping[str, float]]) -> None:
        """One row, of every run its numbers."""
        with self._guarded():
            for i, sink in enumerate(self._sinks):
                sink.write(step, rows[i])

    def close(self) -> None:
        with self._guarded():
            for sink in self._sinks:
                sink.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a service or its package raises
            self._sinks = []
            text = str(error).strip().split("\n")[0][:200] or type(error).__name__
            print(f"{self._name} takes no more rows ({text}); the run goes on", file=sys.stderr)


def opened(names: tuple[str, ...], runs: Sequence[Followed]) -> list[Guarded]:
    """The sinks of these names, for a run alone or all members of a population."""
    return [Guarded(name, runs) for name in names]
