r"""Sparse precisions: columns that are independent given the others, component by component.

The M-step maximises a penalised likelihood (Zhou, Pan & Shen 2009), for each component

    ½ Nₖ (log|Ωₖ| − tr(Sₖ Ωₖ)) − λ Σ_{i≠j} |Ωₖ,ij|,        Ωₖ = Σₖ⁻¹,

which is scikit-learn's graphical lasso (Friedman, Hastie & Tibshirani 2008) at α = 2 λ / Nₖ: the
more rows a component has, the less it is pulled. The objective that EM raises is the log-likelihood
less the penalty. λ is in the units of the columns: standardise them first.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np

from mixtura.covariance.base import Covariance, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.full import FullCovariance
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import FloatArray

__all__ = ["Sparse"]

MAX_ITER, TOLERANCE = 500, 1e-7


@dataclass(frozen=True)
class Sparse(Structure):
    """Fit Σₖ whose inverses have few cells that are not zero.

    Parameters
    ----------
    penalty_weight : float
        λ, in nats per unit of an off-diagonal cell of a precision matrix.

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> from mixtura.covariance import Sparse
    >>> X = np.random.default_rng(0).standard_normal((200, 3))
    >>> gm = mx.GaussianMixture(covariance_type=Sparse(20.0)).fit(X)
    >>> int(np.count_nonzero(np.abs(gm.precisions_[0]) > 1e-9))
    3
    """

    penalty_weight: float = 1.0

    name = "sparse"
    words = "a covariance of its own for each component, with few partial correlations"

    def __post_init__(self) -> None:
        number = isinstance(self.penalty_weight, Real)
        if not (number and np.isfinite(self.penalty_weight) and self.penalty_weight >= 0):
            raise InputError(
                f"expected a penalty of 0 or more, got {self.penalty_weight!r}; 0 gives full "
                "covariances, larger ones fewer cells"
            )

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> Covariance:
        spread = floor.matrices(stats.spread())
        mass = stats.mass if len(spread) == len(stats.mass) else stats.mass.sum(keepdims=True)
        return FullCovariance(
            np.stack([self._one(s, float(n)) for s, n in zip(spread, mass, strict=True)])
        )

    def _one(self, spread: FloatArray, mass: float) -> FloatArray:
        alpha = 2 * self.penalty_weight / max(mass, 1e-12)
        off = np.abs(spread - np.diag(np.diagonal(spread)))
        if alpha == 0 or len(spread) == 1:
            return spread
        if off.max() <= alpha:  # nothing is linked: known without a search
            return np.diag(np.diagonal(spread))
        from sklearn.covariance import graphical_lasso  # loads much that few fits need
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                covariance, _ = graphical_lasso(
                    spread, alpha, max_iter=MAX_ITER, tol=TOLERANCE, enet_tol=TOLERANCE
                )
            except FloatingPointError:
                raise NotPositiveDefiniteError(
                    "expected moments that a graphical lasso can fit, got nearly singular ones; "
                    "raise the penalty or reg_covar"
                ) from None
        return np.asarray(0.5 * (covariance + covariance.T))

    def penalty(self, covariance: Covariance) -> float:
        """−λ Σ |Ωᵢⱼ| over cells off the diagonal."""
        precision = np.asarray(covariance.precision())
        diagonal = np.abs(np.diagonal(precision, axis1=1, axis2=2)).sum()
        return -self.penalty_weight * float(np.abs(precision).sum() - diagonal)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d  # at least

    def count(self, covariance: Covariance) -> int:
        """Variances and links: the cells of the precisions that are not zero."""
        precision = np.asarray(covariance.precision())
        root = np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
        linked = np.abs(precision) > 1e-6 * root[:, :, None] * root[:, None, :]
        return int((linked.sum() - covariance.k * covariance.d) // 2 + covariance.k * covariance.d)
