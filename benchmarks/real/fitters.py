"""Who takes part, what each cannot do, and how each is told where to begin.

A fitter imports its library and returns a function (job, iterations, tolerance) -> ``Fitted``:
what happens in the function is timed, what happens in the fitter is not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.real.cases import Floats, Start, Table

__all__ = ["OURS", "PEERS", "PYTHON", "Fitted", "Job", "Peer"]


class Job(NamedTuple):
    """A case in memory."""

    table: Table
    start: Start
    k: int
    structure: str


class Fitted(NamedTuple):
    """EM steps made, and weights (k,), means (k, d), covariances (k, d, d) on demand."""

    iterations: int
    parameters: Callable[[], tuple[Floats, Floats, Floats]]


Fitter = Callable[[Job, int, float], Fitted]

#: mclust's names -> scikit-learn's.
SKLEARN = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}


def pooled(start: Start, covariance_type: str) -> Floats:
    """The start's covariances, as the M-step of a structure of scikit-learn's makes them."""
    c = start.covariances
    variances = np.diagonal(c, axis1=1, axis2=2)
    shapes: dict[str, Callable[[], Floats]] = {
        "full": lambda: c,
        "tied": lambda: np.einsum("k,kij->ij", start.weights, c),
        "diag": lambda: variances,
        "spherical": lambda: variances.mean(axis=1),
    }
    return shapes[covariance_type]()


def dense(covariances: Floats, covariance_type: str, k: int, d: int) -> Floats:
    """scikit-learn's covariances as (k, d, d)."""
    shapes: dict[str, Callable[[], Floats]] = {
        "full": lambda: covariances,
        "tied": lambda: np.tile(covariances, (k, 1, 1)),
        "diag": lambda: covariances[:, :, None] * np.eye(d),
        "spherical": lambda: covariances[:, None, None] * np.eye(d),
    }
    return shapes[covariance_type]()


def inverse(covariances: Floats, covariance_type: str) -> Floats:
    """Precisions in scikit-learn's shape."""
    if covariance_type in ("full", "tied"):
        return np.asarray(np.linalg.inv(covariances))
    return 1 / covariances


def mixtura() -> Fitter:
    """Ours: from the partition where rows are whole and exact, else from its parameters."""
    import mixtura as mx

    def fit(job: Job, iterations: int, tol: float) -> Fitted:
        table, begin = job.table, job.start
        settings: dict[str, Any] = {"resp_init": begin.labels}
        name = SKLEARN.get(job.structure, job.structure)
        if table.noise is not None or np.isnan(table.x).any():
            precisions = inverse(pooled(begin, name), name)
            settings = {"weights_init": begin.weights, "means_init": begin.means}
            settings["precisions_init"] = precisions
        model = mx.GaussianMixture(
            job.k, covariance_type=name, reg_covar=0.0, tol=tol, max_iter=iterations, **settings
        )
        model.fit(table.x, sample_weight=table.weights, noise=table.noise)
        mix = model.mixture_
        return Fitted(model.n_iter_, lambda: (mix.weights, mix.means, mix.covariance.dense()))

    return fit


def scikit_learn() -> Fitter:
    """scikit-learn, from the partition's parameters."""
    from sklearn.mixture import GaussianMixture

    def fit(job: Job, iterations: int, tol: float) -> Fitted:
        name, begin = SKLEARN[job.structure], job.start
        model = GaussianMixture(
            job.k,
            covariance_type=name,
            weights_init=begin.weights,
            means_init=begin.means,
            precisions_init=inverse(pooled(begin, name), name),
            reg_covar=0.0,
            tol=tol,
            max_iter=iterations,
        ).fit(job.table.x)
        d = job.table.x.shape[1]
        return Fitted(
            model.n_iter_,
            lambda: (model.weights_, model.means_, dense(model.covariances_, name, job.k, d)),
        )

    return fit


def stepmix() -> Fitter:
    """StepMix; it draws its starts itself, so its initialisation is overridden."""
    from stepmix.stepmix import StepMix

    class Started(StepMix):  # type: ignore[misc]
        """StepMix that begins at given parameters."""

        def _initialize_parameters(self, X: Any, random_state: Any) -> None:
            self.set_parameters(self.begin)

    def fit(job: Job, iterations: int, tol: float) -> Fitted:
        name, begin, d = SKLEARN[job.structure], job.start, job.table.x.shape[1]
        gaps = bool(np.isnan(job.table.x).any())
        covariances = pooled(begin, name)
        if gaps and name == "spherical":  # kept as variances of columns
            covariances = np.tile(covariances[:, None], (1, d))
        model = Started(
            job.k,
            measurement=f"gaussian_{name}" + ("_nan" if gaps else ""),
            measurement_params=None if gaps else {"reg_covar": 0.0},
            max_iter=iterations,
            abs_tol=tol,
            rel_tol=0.0,
            progress_bar=0,
            random_state=0,
        )
        model.begin = {
            "weights": begin.weights,
            "measurement": {"means": begin.means, "covariances": covariances},
            "measurement_in": d,
        }
        model.fit(job.table.x, sample_weight=job.table.weights)

        def parameters() -> tuple[Floats, Floats, Floats]:
            found = model.get_parameters()
            end, shape = found["measurement"], "diag" if gaps else name
            return found["weights"], end["means"], dense(end["covariances"], shape, job.k, d)

        return Fitted(model.n_iter_, parameters)

    return fit


def pygmmis() -> Fitter:
    """pygmmis without cutoff, background or regularisation, from the partition's parameters."""
    import pygmmis as library

    def fit(job: Job, iterations: int, tol: float) -> Fitted:
        model = library.GMM(K=job.k, D=job.table.x.shape[1])
        model.amp[:], model.mean[:] = job.start.weights, job.start.means
        model.covar[:] = job.start.covariances
        library.fit(
            model,
            job.table.x,
            covar=job.table.noise,
            init_method="none",
            w=0.0,
            cutoff=None,
            maxiter=iterations,
            tol=tol,
        )
        return Fitted(iterations, lambda: (model.amp, model.mean, model.covar))

    return fit


@dataclass(frozen=True)
class Peer:
    """A library: how it is installed, and what it cannot do."""

    install: str
    cannot: str
    module: str | None = None  # mclust runs in R


OURS = "mixtura"
PEERS = {
    "mclust": Peer(
        "apt install r-base-core r-cran-mclust",
        "missing cells and measurement errors in `me` (`imputeData` fills cells beforehand)",
    ),
    "scikit-learn": Peer(
        "pip install scikit-learn",
        "ten of the fourteen structures, weights, missing cells, measurement errors",
        "sklearn",
    ),
    "StepMix": Peer(
        "pip install stepmix",
        "ten of the fourteen structures, missing cells with covariances, measurement errors; it "
        "takes no start, so its initialisation is overridden here",
        "stepmix",
    ),
    "pygmmis": Peer(
        "pip install pygmmis",
        "structures other than full, weights; a missing cell is to it one with the variance 2e10",
        "pygmmis",
    ),
}
#: Those that run in a Python process.
PYTHON: dict[str, Callable[[], Fitter]] = {
    OURS: mixtura,
    "scikit-learn": scikit_learn,
    "StepMix": stepmix,
    "pygmmis": pygmmis,
}


def quiet(fit: Fitter) -> Fitter:
    """The same without warnings of not having converged."""

    def run(job: Job, iterations: int, tol: float) -> Fitted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fit(job, iterations, tol)

    return run
