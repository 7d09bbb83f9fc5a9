r"""Totally positive Gaussians (MTP₂): Σₖ⁻¹ is an M-matrix, no partial correlation is negative.

The M-step is the convex problem (Slawski & Hein 2015; Lauritzen, Uhler & Zwiernik 2019)

    max over Ω ≻ 0, Ωᵢⱼ ≤ 0 (i ≠ j):  log|Ω| − tr(S Ω),

whose dual is max log|Σ| with Σᵢᵢ = Sᵢᵢ and Σᵢⱼ ≥ Sᵢⱼ: at the optimum Σᵢⱼ = Sᵢⱼ wherever columns are
linked (Ωᵢⱼ < 0). Column by column of Σ the dual is a non-negative least squares problem,
min over b ≥ 0 of ½ bᵀ Σ₋ b − bᵀ s, with σ = Σ₋ b, so that each sweep raises log|Σ| and every
iterate is feasible. It fits dependence that is all of one sign, as common causes make it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dtrtrs

from mixtura.covariance.base import Covariance, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.full import FullCovariance
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import FloatArray

__all__ = ["TotallyPositive"]

#: Sweeps at most, and the change of a correlation in one below which it is the last.
SWEEPS, STILL = 1000, 1e-13
MOST_COLUMNS = 150


@dataclass(frozen=True)
class TotallyPositive(Structure):
    """Fit Σₖ whose inverses have no positive cell off the diagonal.

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> from mixtura.covariance import TotallyPositive
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 1)) + rng.standard_normal((200, 3))
    >>> gm = mx.GaussianMixture(covariance_type=TotallyPositive()).fit(X)
    >>> bool((gm.precisions_[0] - np.diag(np.diag(gm.precisions_[0]))).max() < 1e-9)
    True
    """

    name = "positive"
    words = "a covariance of its own for each component, without negative partial correlations"

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        if d > MOST_COLUMNS:
            raise InputError(
                f"expected at most {MOST_COLUMNS} columns for totally positive covariances, got "
                f"{d}: each takes a least squares problem over all others; take fewer columns, or "
                "another structure"
            )
        return FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> Covariance:
        spread = stats.spread()
        mass = stats.mass if len(spread) == len(stats.mass) else stats.mass.sum(keepdims=True)

        def solve(moments: FloatArray) -> Covariance:
            return FullCovariance(np.stack([nearest(s) for s in moments]))

        fitted: Covariance = floor.structured(spread, mass, solve, previous)
        return fitted

    def n_parameters(self, k: int, d: int) -> int:
        return k * d  # at least

    def count(self, covariance: Covariance) -> int:
        """Variances and links: the cells of the precisions that are not zero."""
        precision = np.asarray(covariance.precision())
        root = np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
        linked = np.abs(precision) > 1e-6 * root[:, :, None] * root[:, None, :]
        return int((linked.sum() - covariance.k * covariance.d) // 2 + covariance.k * covariance.d)


def nearest(spread: FloatArray) -> FloatArray:
    """The covariance (d, d) of greatest likelihood under moments S (d, d) whose inverse is an
    M-matrix."""
    d = len(spread)
    variance = np.diagonal(spread)
    if not (variance > 0).all():
        raise NotPositiveDefiniteError("expected spread in every column, got none in one")
    if d == 1:
        return spread
    from scipy.cluster.hierarchy import cophenet, linkage  # few fits need these
    from scipy.optimize import nnls
    from scipy.spatial.distance import squareform

    sd = np.sqrt(variance)
    s = spread / sd / sd[:, None]
    # The least ultrametric above the correlations (single linkage) is feasible and definite.
    similar = np.clip(s, 0.0, None)
    if similar[~np.eye(d, dtype=bool)].max() >= 1 - 1e-12:
        raise NotPositiveDefiniteError("expected no two columns that are multiples, got some")
    distance = np.clip(1 - similar, 0.0, None)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="single")
    sigma = 1 - squareform(cophenet(tree))
    for _ in range(SWEEPS):
        before = sigma.copy()
        for j in range(d):
            rest = np.arange(d) != j
            root = np.linalg.cholesky(sigma[rest][:, rest])
            half, _ = dtrtrs(root, s[rest, j], lower=1)
            b, _ = dtrtrs(root, half, lower=1, trans=1)
            if (b < 0).any():  # else the constraint does not bind
                b, _ = nnls(root.T, half)
            sigma[rest, j] = sigma[j, rest] = root @ (root.T @ b)
        if np.abs(sigma - before).max() <= STILL:
            break
    return np.asarray(sigma * sd * sd[:, None])
