"""Metrics of disentanglement: pure functions of codes [N, D] and factors [N, F].

Each returns a dict in which the metric's own name holds the score; matrices are
[latent, factor], information is in nats. The caller asks for `protocol="dlib"`, the numbers
that papers print, or "exact", which corrects known faults and means codes of the whole factor
grid. A result's `protocol` says what it holds: metrics that disentanglement_lib does not have
say what they are, and "custom" is said of options other than the published ones.
"""

from devae_jax.metrics.active_units import active_units
from devae_jax.metrics.beta_vae import beta_vae
from devae_jax.metrics.binning import bin_factors
from devae_jax.metrics.continuous import infomec_continuous, mig_binned
from devae_jax.metrics.dci import dci, dci_seconds
from devae_jax.metrics.diffusion import diffusion
from devae_jax.metrics.downstream import downstream
from devae_jax.metrics.draws import numpy_rng, sample_factors
from devae_jax.metrics.explicitness import explicitness
from devae_jax.metrics.factor_vae import factor_vae
from devae_jax.metrics.infomec import infomec, infomec_knn
from devae_jax.metrics.information import mi_matrix
from devae_jax.metrics.irs import irs
from devae_jax.metrics.jemmig import jemmig
from devae_jax.metrics.kl import kl
from devae_jax.metrics.mcc import mcc
from devae_jax.metrics.med import med
from devae_jax.metrics.mig import mig
from devae_jax.metrics.mig_sup import mig_sup
from devae_jax.metrics.modularity import modularity
from devae_jax.metrics.reconstruction import reconstruction_mean, reconstruction_sampled
from devae_jax.metrics.regression import dci_regression, r2
from devae_jax.metrics.rmig import rmig
from devae_jax.metrics.sap import sap
from devae_jax.metrics.table import CodeTable
from devae_jax.metrics.udr import udr
from devae_jax.metrics.unsupervised import unsupervised

__all__ = [
    "CodeTable",
    "active_units",
    "beta_vae",
    "bin_factors",
    "dci",
    "dci_regression",
    "dci_seconds",
    "diffusion",
    "downstream",
    "explicitness",
    "factor_vae",
    "infomec",
    "infomec_continuous",
    "infomec_knn",
    "irs",
    "jemmig",
    "kl",
    "mcc",
    "med",
    "mi_matrix",
    "mig",
    "mig_binned",
    "mig_sup",
    "modularity",
    "numpy_rng",
    "r2",
    "reconstruction_mean",
    "reconstruction_sampled",
    "rmig",
    "sample_factors",
    "sap",
    "udr",
    "unsupervised",
]
