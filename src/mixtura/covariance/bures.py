r"""The Bures geometry of covariances, by orthogonal Procrustes.

With A = F Fᵀ and B = G Gᵀ the squared Bures distance tr A + tr B − 2 tr (A^½ B A^½)^½ is

    b²(A, B) = min over orthogonal U of ‖F − G U‖²,    attained at the polar factor of Gᵀ F

(Bhatia, Jain & Lim 2019, theorem 1). A sum of squares instead of a difference of traces: nothing
cancels, so that matrices that are close, or close to singular, keep their digits. The optimal map
from A to B sends F to G U, and (1 − t) F + t G U is a factor at time t of the geodesic.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.linalg import symmetrise, transpose
from mixtura.arrays.namespace import detached, namespace
from mixtura.covariance.base import Covariance, check_budget
from mixtura.covariance.diagonal import DiagonalCovariance
from mixtura.covariance.full import FullCovariance
from mixtura.covariance.isotropic import IsotropicCovariance
from mixtura.covariance.tied import TiedCovariance
from mixtura.errors import NotPositiveDefiniteError
from mixtura.typing import Array, FloatArray

__all__ = ["align", "factors", "interpolate", "is_diagonal", "roots", "squared_bures"]


def is_diagonal(covariance: Covariance) -> bool:
    """Whether every matrix is diagonal by its representation."""
    if isinstance(covariance, TiedCovariance):
        return is_diagonal(covariance.shared)
    return isinstance(covariance, DiagonalCovariance | IsotropicCovariance)


def factors(covariance: Covariance) -> Array:
    """Square factors F (k, d, d), F Fᵀ = Σ."""
    k, d = covariance.k, covariance.d
    check_budget(k, d, "factors of covariances")
    like = covariance.diagonal()
    xp = namespace(like)
    eye = xp.eye(d, dtype=like.dtype, device=like.device)
    return xp.broadcast_to(covariance.color(xp.broadcast_to(eye, (k, d, d))), (k, d, d))


def roots(matrices: FloatArray) -> FloatArray:
    """Factors (..., d, d) of positive semidefinite matrices, singular ones included; NumPy only.

    Raises
    ------
    NotPositiveDefiniteError
        For matrices that have a clearly negative eigenvalue.
    """
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(matrices)
    floor = -1e-10 * np.abs(values).max(axis=-1, initial=0.0, keepdims=True)
    if (values < floor).any():
        raise NotPositiveDefiniteError(
            f"expected positive semidefinite covariances, got one with eigenvalue "
            f"{values.min():.3g}; a covariance has none below zero"
        )
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])


def align(f: Array, g: Array) -> Array:
    """The orthogonal U (..., d, d) that brings G U closest to F."""
    left, _, right = namespace(f, g).linalg.svd(transpose(g) @ f, full_matrices=False)
    return left @ right


def squared_bures(f: Array, g: Array) -> Array:
    """b²(F Fᵀ, G Gᵀ) (...), exactly zero for equal factors; the leading axes broadcast."""
    xp = namespace(f, g)
    gap = f - g @ align(detached(f), detached(g))  # at the optimum U has no gradient to add
    total = xp.sum(gap * gap, axis=(-2, -1))
    equal = xp.all(f == g, axis=(-2, -1))
    return xp.where(equal, xp.zeros_like(total), total)


def interpolate(a: Covariance, b: Covariance, t: float) -> Covariance:
    """The Bures geodesic from Σ to Σ' at time t, component by component."""
    if isinstance(a, TiedCovariance) and isinstance(b, TiedCovariance):
        return TiedCovariance(interpolate(a.shared, b.shared, t), a.k)
    if is_diagonal(a) and is_diagonal(b):
        xp = namespace(a.diagonal(), b.diagonal())
        spread = (1 - t) * xp.sqrt(a.diagonal()) + t * xp.sqrt(b.diagonal())
        if _is_isotropic(a) and _is_isotropic(b):
            return IsotropicCovariance(spread[:, 0] ** 2, a.d)
        return DiagonalCovariance(spread**2)
    f, g = factors(a), factors(b)
    between = (1 - t) * f + t * (g @ align(f, g))
    return FullCovariance(symmetrise(between @ transpose(between)))


def _is_isotropic(covariance: Covariance) -> bool:
    kind = covariance.shared if isinstance(covariance, TiedCovariance) else covariance
    return isinstance(kind, IsotropicCovariance)
