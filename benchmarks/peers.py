"""Who takes part. A new peer is one function here and one line in ``ENTRANTS``.

The function imports its library and returns a fitter: what happens in the function is not
measured, what happens in the fitter is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import Floats, Workload

__all__ = ["ENTRANTS", "OURS", "Entrant", "Fitted", "Fitter", "Task"]


@dataclass(frozen=True)
class Task:
    """A workload in memory: rows (n, d) and the parameters of the start."""

    workload: Workload
    x: Floats
    weights: Floats
    means: Floats
    precisions: Floats


@dataclass(frozen=True)
class Fitted:
    """What a fit returns.

    Attributes
    ----------
    log_likelihood : float
        Mean per row in the last iteration, in the library's own account (nats).
    parameters : callable
        Weights (k,), means (k, d) and covariances (k, d, d), or variances (k, d), on demand.
    """

    log_likelihood: float
    parameters: Callable[[], tuple[Floats, Floats, Floats]]


#: (task, iterations) -> fitted.
Fitter = Callable[[Task, int], Fitted]


@dataclass(frozen=True)
class Entrant:
    """A library with its settings.

    Attributes
    ----------
    load : callable () -> Fitter
    dtype : str
        Type of the rows that it is given.
    """

    load: Callable[[], Fitter]
    dtype: str = "float64"


def estimator(cls: Any, parameters: Callable[[Any], tuple[Floats, Floats, Floats]]) -> Fitter:
    """A fitter for an estimator with scikit-learn's parameters."""
    from sklearn.exceptions import ConvergenceWarning

    def fit(task: Task, iterations: int) -> Fitted:
        model = cls(
            n_components=task.workload.k,
            covariance_type=task.workload.covariance_type,
            weights_init=task.weights,
            means_init=task.means,
            precisions_init=task.precisions,
            reg_covar=task.workload.reg_covar,
            max_iter=iterations,
            tol=0.0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(task.x)
        return Fitted(float(model.lower_bound_), lambda: parameters(model))

    return fit


def mixtura() -> Fitter:
    """``mixtura.GaussianMixture``."""
    from mixtura import GaussianMixture

    def parameters(model: Any) -> tuple[Floats, Floats, Floats]:
        mix = model.mixture_
        full = mix.covariance.name == "full"
        return mix.weights, mix.means, mix.covariance.dense() if full else mix.covariance.diagonal()

    return estimator(GaussianMixture, parameters)


def scikit_learn() -> Fitter:
    """``sklearn.mixture.GaussianMixture``."""
    from sklearn.mixture import GaussianMixture

    return estimator(GaussianMixture, lambda m: (m.weights_, m.means_, m.covariances_))


#: The entrant to whom ratios refer.
OURS = "mixtura"
#: Names -> entrants. All that are not named after us are peers.
ENTRANTS = {
    OURS: Entrant(mixtura),
    "scikit-learn": Entrant(scikit_learn),
    "mixtura float32": Entrant(mixtura, "float32"),
}
