"""Fitting scikit-learn's predictors to small problems."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def small_fits() -> Iterator[None]:
    """For scikit-learn on small problems: one thread, since more wait for each other.

    Its advice to iterate longer is not shown, since published protocols stop early on purpose;
    nor is what it plans to rename.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
        yield
