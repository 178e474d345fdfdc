"""Metrics of disentanglement: pure functions of codes [N, D] and factors [N, F].

Each returns a dict in which the metric's own name holds the score; matrices are
[latent, factor], information is in nats. `protocol="dlib"` gives the numbers that papers
print, "exact" corrects known faults and means codes of the whole factor grid.
"""

from devae_jax.metrics.bottleneck import active_units, kl
from devae_jax.metrics.draws import sample_factors
from devae_jax.metrics.gaps import diffusion, jemmig, mig, mig_sup
from devae_jax.metrics.importance import med
from devae_jax.metrics.independence import unsupervised
from devae_jax.metrics.information import mi_matrix
from devae_jax.metrics.inputs import bin_factors, numpy_rng
from devae_jax.metrics.interventions import irs
from devae_jax.metrics.mixing import infomec, modularity
from devae_jax.metrics.posteriors import rmig
from devae_jax.metrics.predictors import downstream, explicitness, sap
from devae_jax.metrics.selection import udr
from devae_jax.metrics.table import CodeTable
from devae_jax.metrics.trees import dci, dci_seconds
from devae_jax.metrics.votes import beta_vae, factor_vae

__all__ = [
    "CodeTable",
    "active_units",
    "beta_vae",
    "bin_factors",
    "dci",
    "dci_seconds",
    "diffusion",
    "downstream",
    "explicitness",
    "factor_vae",
    "infomec",
    "irs",
    "jemmig",
    "kl",
    "med",
    "mi_matrix",
    "mig",
    "mig_sup",
    "modularity",
    "numpy_rng",
    "rmig",
    "sample_factors",
    "sap",
    "udr",
    "unsupervised",
]
