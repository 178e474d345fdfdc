"""Metrics of codes and factors alone, by the name of their score."""

from devae_jax import metrics

NAMES = ("mig", "mig_sup", "jemmig", "modularity", "irs", "med", "diffusion")
OF_CODES = {name: getattr(metrics, name) for name in NAMES}
