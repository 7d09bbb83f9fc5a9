r"""One shape for all components, one volume for each: Σₖ = λₖ A, |A| = 1.

With sₖ the moments of component k on fixed axes and Nₖ its mass, the best volumes for a diagonal A
are λₖ = Σᵢ sₖᵢ / (d aᵢ), and what is left to minimise is, in bᵢ = log aᵢ, Σᵢ bᵢ = 0,

    G(b) = Σₖ Nₖ log Σᵢ exp(log sₖᵢ − bᵢ),

a sum of log-sum-exps: convex, so that Newton's method finds the one minimum. With pₖᵢ the softmax
of log sₖᵢ − bᵢ, ∇G = N/d − Σₖ Nₖ pₖ (projected on Σᵢ bᵢ = 0) and ∇²G = Σₖ Nₖ (diag pₖ − pₖ pₖᵀ).

For a matrix A the same profile, Σₖ Nₖ log tr(Sₖ A⁻¹), is convex along geodesics (it is the
likelihood of Tyler's (1987) kind), and the fixed point A ∝ Σₖ Nₖ Sₖ / λₖ descends to the minimum
(Celeux & Govaert 1995, models VEI, VEV and VEE).
"""

from __future__ import annotations

import numpy as np

from mixtura.errors import NotPositiveDefiniteError
from mixtura.typing import FloatArray

__all__ = ["common_axes", "common_matrix", "unit_determinant"]

#: Newton steps, and steps of the fixed point; both end far earlier on ordinary moments.
NEWTON_STEPS, FIXED_STEPS = 200, 5_000
TOLERANCE, CLOSE = 1e-13, 1e-4


def unit_determinant(variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Volumes |diag vₖ|^(1/d) (k,) and shapes vₖ / volume (k, d) of positive variances (k, d)."""
    if not (np.isfinite(variance).all() and (variance > 0).all()):
        raise NotPositiveDefiniteError(
            "expected positive moments in every direction of every component, got a direction "
            "without spread"
        )
    volume = np.exp(np.log(variance).mean(axis=1))
    return volume, variance / volume[:, None]


def common_axes(spread: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Volumes λ (k,) and the one shape a (d,), Π aᵢ = 1, for moments along fixed axes.

    Parameters
    ----------
    spread : array (k, d)
        Moments per unit of mass.
    mass : array (k,)

    Raises
    ------
    NotPositiveDefiniteError
        Where all components have no spread in one direction, or one of them in none.
    """
    share = mass / mass.sum()
    live = share > 0
    spread, d = np.maximum(spread, 0.0), spread.shape[1]
    pooled = share @ spread
    if not (np.isfinite(pooled).all() and (pooled > 0).all() and spread[live].any(axis=1).all()):
        raise NotPositiveDefiniteError(
            "expected spread in every direction and every component, got none in some"
        )
    with np.errstate(divide="ignore"):
        logs = np.log(spread[live])
    share = share[live]
    b = np.log(pooled) - np.log(pooled).mean()
    # In c = b − log s̄, s̄ the pooled moments, G is Σ Nₖ log Σᵢ uₖᵢ exp(−cᵢ) up to a constant, where
    # uₖᵢ = sₖᵢ / s̄ᵢ over the largest of the row: sums that stay within floats without another log.
    relative = logs - b
    relative = np.exp(relative - relative.max(axis=1, keepdims=True))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of steps not taken
        shape = np.exp(b + _newton(relative, share))
    return spread @ (1.0 / shape) / d, shape


def _newton(relative: FloatArray, share: FloatArray) -> FloatArray:
    """The minimiser c (d,), Σᵢ cᵢ = 0, of Σₖ Nₖ log Σᵢ uₖᵢ exp(−cᵢ)."""
    d = relative.shape[1]

    def value(at: FloatArray) -> float:
        return float(share @ np.log(relative @ np.exp(-at)))

    c = np.zeros(d)
    best = value(c)
    for _ in range(NEWTON_STEPS):
        p = relative * np.exp(-c)
        p /= p.sum(axis=1, keepdims=True)
        pooled = share @ p
        slope = 1.0 / d - pooled
        curvature = np.diag(pooled) - (p.T * share) @ p
        # Along (1, …, 1) nothing changes; 1/d there makes the matrix regular.
        try:
            step = -np.linalg.solve(curvature + 1.0 / d, slope)
        except np.linalg.LinAlgError:
            raise NotPositiveDefiniteError(
                "expected directions whose spreads can be held against each other, got some lost "
                "in the rounding of others; rescale the columns"
            ) from None
        step -= step.mean()
        size = np.abs(step).max()
        if size < CLOSE:  # where values are too flat to compare, steps are exact
            c = c + step
            if size < TOLERANCE:
                break
            best = min(best, value(c))
            continue
        length = 1.0
        while length > 1e-12 and not value(c + length * step) <= best:
            length *= 0.5
        if length <= 1e-12:
            break
        c = c + length * step
        best = value(c)
    centred: FloatArray = c - c.mean()
    return centred


def common_matrix(spread: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Volumes λ (k,) and the one matrix A (d, d), |A| = 1, for moments (k, d, d)."""
    share = mass / mass.sum()
    live = np.flatnonzero(share > 0)
    d = spread.shape[1]
    volume = np.trace(spread, axis1=1, axis2=2) / d
    before = np.inf
    for _ in range(FIXED_STEPS):
        if not (volume[live] > 0).all():
            raise NotPositiveDefiniteError("expected spread in every component, got none in one")
        matrix = np.tensordot(share[live] / volume[live], spread[live], axes=1)
        sign, logdet = np.linalg.slogdet(matrix)
        if sign <= 0 or not np.isfinite(logdet):
            raise NotPositiveDefiniteError("expected moments of full rank, got singular ones")
        matrix = matrix / np.exp(logdet / d)
        try:
            inverse = np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            raise NotPositiveDefiniteError(
                "expected moments of full rank, got singular ones"
            ) from None
        volume = np.einsum("kij,ij->k", spread, inverse) / d
        objective = float(share[live] @ np.log(volume[live]))
        if before - objective <= TOLERANCE:
            break
        before = objective
    return volume, matrix
