"""Which metrics to measure: names, groups, and metrics of the user's own."""

from collections.abc import Collection, Sequence

from devae_jax.metrics.registry import METRICS, NEEDS, Metric, missing, resolve


def metrics_of(
    metrics: str | Sequence[str | Metric], available: Collection[str] = tuple(NEEDS)
) -> dict[str, Metric]:
    """As `resolve`, name -> metric; a metric of the user's own may stand in place of a name.

    Raises:
      ValueError: as `resolve`, and for what is neither a name nor a metric.
    """
    chosen: dict[str, Metric] = {}
    for metric in (metrics,) if isinstance(metrics, str) else metrics:
        if isinstance(metric, str):
            chosen |= {name: METRICS[name] for name in resolve(metric, available)}
        elif not isinstance(metric, Metric):
            raise ValueError(
                f"got {repr(metric)[:80]} as metric, expected a name or a `Metric`; fix its name"
            )
        elif set(metric.needs) <= set(available):
            chosen[metric.scores[0].name] = metric
        else:
            raise ValueError(
                f"got metric {metric.scores[0].name!r} for {missing(metric, available)}, expected "
                "one that needs less; leave it out"
            )
    return chosen
