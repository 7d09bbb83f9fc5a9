"""Who takes part. A new peer is one function here and one line in ``ENTRANTS``.

The function imports its library and returns a fitter: what happens in the function is not
measured, what happens in the fitter is. Every fitter begins where the task says, sets no other
option than it must, and makes as many EM steps as it is asked to.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.workloads import Floats, Workload

__all__ = ["ENTRANTS", "FLOOR", "OURS", "REFERENCE", "Entrant", "Fitted", "Fitter", "Task"]


@dataclass(frozen=True)
class Task:
    """A workload in memory: rows (n, d), the structure to fit, and the parameters of the start.

    Ours starts the low-rank structure, which has no precision parameters, from ``labels``: the
    nearest of the start's means.
    """

    workload: Workload
    structure: str
    x: Floats
    weights: Floats
    means: Floats
    precisions: Floats | None = None
    labels: Any = None


@dataclass(frozen=True)
class Fitted:
    """What a fit returns.

    Attributes
    ----------
    log_likelihood : float, optional
        Mean per row in the last iteration, in the library's own account (nats).
    parameters : callable, optional
        Weights (k,), means (k, d) and covariances (k, d, d), or variances (k, d), on demand.
        k-means, the floor, has neither.
    iterations, converged : optional
        Of a fit to the library's own convergence.
    """

    log_likelihood: float | None = None
    parameters: Callable[[], tuple[Floats, Floats, Floats]] | None = None
    iterations: int | None = None
    converged: bool | None = None


#: (task, iterations) -> fitted; None asks for a fit with the library's own start and stopping.
Fitter = Callable[[Task, int | None], Fitted]


@dataclass(frozen=True)
class Entrant:
    """A library with its settings.

    Attributes
    ----------
    load : callable () -> Fitter
    dtype : str
        Type of the rows that it is given.
    install : str
        How to have it.
    structures : tuple of str
        What it can fit.
    per_iteration : bool
        Whether it iterates alike from the first step to the last, so that one can be timed.
    whole : bool
        Whether it takes part in fits to convergence.
    least_k : int
        Components from which it takes part.
    longer : int
        So many times as many iterations are timed: of one whose first differ from the others.
    """

    load: Callable[[], Fitter]
    dtype: str = "float64"
    install: str = "pip install ."
    structures: tuple[str, ...] = ("full", "diag")
    per_iteration: bool = True
    whole: bool = False
    least_k: int = 0
    longer: int = 1


def estimator(
    cls: Any, parameters: Callable[[Any], tuple[Floats, Floats, Floats]], **settings: Any
) -> Fitter:
    """A fitter for an estimator with scikit-learn's parameters."""
    from sklearn.exceptions import ConvergenceWarning

    def fit(task: Task, iterations: int | None) -> Fitted:
        options = {"n_components": task.workload.k, "covariance_type": task.structure} | settings
        if task.structure == "lowrank":
            options |= {"rank": task.workload.rank}
        if iterations is None:
            options |= {"random_state": 0}
        else:
            options |= {"reg_covar": task.workload.reg_covar, "max_iter": iterations, "tol": 0.0}
            options |= (
                {"resp_init": task.labels}
                if task.precisions is None
                else {
                    "weights_init": task.weights,
                    "means_init": task.means,
                    "precisions_init": task.precisions,
                }
            )
        model = cls(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(task.x)
        return Fitted(
            float(model.lower_bound_),
            lambda: parameters(model),
            int(model.n_iter_),
            bool(model.converged_),
        )

    return fit


def mixtura(precision: str, **options: Any) -> Callable[[], Fitter]:
    """``mixtura.GaussianMixture``, at a precision where it offers the choice."""

    def load() -> Fitter:
        from mixtura import GaussianMixture

        with suppress(ImportError):  # an import like others', though ours leaves it to a large fit
            import_module("numba")

        offered = "precision" in inspect.signature(GaussianMixture).parameters
        if precision == "mixed" and not offered:
            raise NotImplementedError("this version has no parameter `precision`")
        settings = options | ({"precision": precision} if offered else {})

        def parameters(model: Any) -> tuple[Floats, Floats, Floats]:
            mix = model.mixture_
            diagonal = mix.covariance.name in ("diagonal", "isotropic")
            own = mix.covariance.diagonal() if diagonal else mix.covariance.dense()
            return mix.weights, mix.means, own

        return estimator(GaussianMixture, parameters, **settings)

    return load


def scikit_learn() -> Fitter:
    """``sklearn.mixture.GaussianMixture``."""
    from sklearn.mixture import GaussianMixture

    return estimator(GaussianMixture, lambda m: (m.weights_, m.means_, m.covariances_))


def pomegranate() -> Fitter:
    """``pomegranate.gmm.GeneralMixtureModel``, by the two calls of which its ``fit`` is a loop.

    It has no floor under variances.
    """
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    def fit(task: Task, iterations: int | None) -> Fitted:
        if task.precisions is None or iterations is None:
            raise NotImplementedError
        full = task.structure == "full"
        covariances = np.linalg.inv(task.precisions) if full else 1 / task.precisions
        parts = [
            Normal(
                torch.tensor(mean, dtype=torch.float32),
                torch.tensor(covariance, dtype=torch.float32),
                covariance_type=task.structure,
            )
            for mean, covariance in zip(task.means, covariances, strict=True)
        ]
        model = GeneralMixtureModel(parts, priors=torch.tensor(task.weights, dtype=torch.float32))
        x, total = torch.from_numpy(task.x), 0.0
        for _ in range(iterations):
            total = model.summarize(x)
            model.from_summaries()
        return Fitted(
            float(total) / len(x),
            lambda: (
                model.priors.numpy(),
                np.stack([part.means.numpy() for part in model.distributions]),
                np.stack([part.covs.numpy() for part in model.distributions]),
            ),
        )

    return fit


def torchgmm() -> Fitter:
    """torchgmm's EM, all rows in one batch, one pass per iteration.

    Its estimator takes no precisions to start from, and passes twice over a single batch; its
    training module does not.
    """
    import logging

    import torch
    from torchgmm.bayes import GaussianMixture
    from torchgmm.bayes.gmm.lightning_module import GaussianMixtureLightningModule
    from torchgmm.bayes.gmm.model import GaussianMixtureModel, GaussianMixtureModelConfig

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    quiet = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}

    def fit(task: Task, iterations: int | None) -> Fitted:
        if task.precisions is None or iterations is None:
            raise NotImplementedError
        w, x = task.workload, torch.from_numpy(task.x)
        model = GaussianMixtureModel(GaussianMixtureModelConfig(w.k, w.d, task.structure))
        model.component_probs.copy_(torch.from_numpy(task.weights))
        model.means.copy_(torch.from_numpy(task.means))
        model.precisions_cholesky.copy_(torch.from_numpy(np.sqrt(task.precisions)))  # diagonal
        module = GaussianMixtureLightningModule(
            model, convergence_tolerance=0, covariance_regularization=w.reg_covar
        )
        loader = torch.utils.data.DataLoader([x], batch_size=None)
        trainer = GaussianMixture(w.k, trainer_params=quiet).trainer(max_epochs=iterations)
        with torch.no_grad():
            trainer.fit(module, loader)
        return Fitted(
            -float(trainer.callback_metrics["nll"]),
            lambda: (
                model.component_probs.numpy(),
                model.means.numpy(),
                model.covariances.numpy(),
            ),
        )

    return fit


def faiss() -> Fitter:
    """faiss's k-means on all rows: what one product of rows and means costs, the floor."""
    import faiss as library

    def fit(task: Task, iterations: int | None) -> Fitted:
        n, d = task.x.shape
        kmeans = library.Kmeans(
            d,
            task.workload.k,
            niter=iterations or 25,
            min_points_per_centroid=1,
            max_points_per_centroid=n,
        )
        kmeans.train(task.x, init_centroids=task.means.astype(np.float32))
        return Fitted()

    return fit


#: The entrant to whom ratios refer, the peer that goals refer to, and the floor, which is no EM.
OURS, REFERENCE, FLOOR = "mixtura", "scikit-learn", "faiss k-means"
ALL = ("full", "diag", "lowrank")
#: Names -> entrants. All that are not named after us are peers.
ENTRANTS = {
    OURS: Entrant(mixtura("double"), structures=ALL, whole=True),
    "mixtura mixed": Entrant(mixtura("mixed"), structures=ALL, per_iteration=False, whole=True),
    "mixtura single": Entrant(mixtura("single"), "float32", structures=ALL, whole=True),
    "mixtura truncated": Entrant(
        mixtura("single", engine="truncated"), "float32", least_k=100, longer=5
    ),
    REFERENCE: Entrant(scikit_learn, install="pip install scikit-learn", whole=True),
    "scikit-learn float32": Entrant(
        scikit_learn, "float32", "pip install scikit-learn", whole=True
    ),
    "pomegranate": Entrant(pomegranate, "float32", "pip install pomegranate==1.1.2"),
    "torchgmm": Entrant(torchgmm, "float32", "pip install torchgmm"),
    FLOOR: Entrant(faiss, "float32", "pip install faiss-cpu==1.15.1"),
}
