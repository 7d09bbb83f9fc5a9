r"""Averages of covariance matrices in two geometries.

Log-Euclidean (Arsigny, Fillard, Pennec & Ayache 2007): exp(Σⱼ λⱼ log Σⱼ); its determinant is the
geometric mean of theirs, so that averages do not swell. Bures (Agueh & Carlier 2011): the matrix
with the least Σⱼ λⱼ b²(Σ, Σⱼ), the covariance of the Wasserstein barycentre. Its fixed point
(Álvarez-Esteban et al. 2016), in factors Σⱼ = Fⱼ Fⱼᵀ, Σ = F Fᵀ, is generalised Procrustes analysis:

    F ← Σⱼ λⱼ Fⱼ Uⱼ,    Uⱼ the orthogonal matrix that brings Fⱼ Uⱼ closest to F.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.linalg import symmetrise, transpose
from mixtura.arrays.namespace import as_float, finite, holds, is_numpy, namespace, to_numpy
from mixtura.covariance.bures import align, roots
from mixtura.errors import InputError
from mixtura.typing import Array

__all__ = ["bures_mean", "log_euclidean_mean", "mean_factor"]

#: Sweeps of the fixed point, and the relative change that ends it.
SWEEPS, TOLERANCE = 200, 1e-13


def mean_factor(parts: Array, weights: Array) -> tuple[Array, Array]:
    """A factor of the Bures mean, and the squared distance that it minimises.

    Parameters
    ----------
    parts : array (j, ..., d, d)
        Factors of the matrices; averages are taken over the first axis.
    weights : array (j,)
        Summing to one.

    Returns
    -------
    factor : array (..., d, d)
    cost : array (...)
        Σⱼ λⱼ b²(Σ, Σⱼ).
    """
    xp = namespace(parts)
    share = xp.reshape(as_float(weights, like=parts), (-1,) + (1,) * (parts.ndim - 1))
    factor = parts[int(np.argmax(to_numpy(weights)))]
    for _ in range(SWEEPS):
        aligned = parts @ align(factor[None, ...], parts)
        old, factor = to_numpy(factor), xp.sum(share * aligned, axis=0)
        size = np.abs(to_numpy(factor))
        if np.abs(old - to_numpy(factor)).max(initial=0.0) <= TOLERANCE * size.max(initial=0.0):
            break
    gap = parts @ align(factor[None, ...], parts) - factor
    cost = xp.sum(share[..., 0, 0] * xp.sum(gap * gap, axis=(-2, -1)), axis=0)
    return factor, cost


def bures_mean(matrices: Array, weights: Array = None) -> Array:
    """The average in Bures geometry: the covariance of the Wasserstein barycentre.

    Parameters
    ----------
    matrices : array (j, d, d)
        Positive semidefinite.
    weights : array (j,), optional
        Non-negative; equal by default.

    Returns
    -------
    array (d, d)

    Examples
    --------
    >>> import numpy as np
    >>> from mixtura.covariance import bures_mean
    >>> bures_mean([np.diag([1.0, 4.0]), np.diag([9.0, 4.0])])
    array([[4., 0.],
           [0., 4.]])
    """
    values, share = _checked(matrices, weights)
    parts = roots(values) if is_numpy(values) else namespace(values).linalg.cholesky(values)
    factor, _ = mean_factor(parts, share)
    return symmetrise(factor @ transpose(factor))


def log_euclidean_mean(matrices: Array, weights: Array = None) -> Array:
    """The average of logarithms: exp(Σⱼ λⱼ log Σⱼ).

    Parameters
    ----------
    matrices : array (j, d, d)
        Positive definite.
    weights : array (j,), optional
        Non-negative; equal by default.

    Returns
    -------
    array (d, d)

    Examples
    --------
    >>> import numpy as np
    >>> from mixtura.covariance import log_euclidean_mean
    >>> log_euclidean_mean([np.diag([1.0, 4.0]), np.diag([9.0, 4.0])])
    array([[3., 0.],
           [0., 4.]])
    """
    values, share = _checked(matrices, weights)
    xp = namespace(values)
    spectrum, vectors = xp.linalg.eigh(values)
    if not holds(spectrum > 0):
        raise InputError(
            f"expected positive definite matrices for a log-Euclidean mean, got one with "
            f"eigenvalue {float(to_numpy(spectrum).min()):.3g}; bures_mean takes singular ones"
        )
    logs = (vectors * xp.log(spectrum)[..., None, :]) @ transpose(vectors)
    centre = xp.sum(share[:, None, None] * logs, axis=0)
    spectrum, vectors = xp.linalg.eigh(symmetrise(centre))
    return symmetrise((vectors * xp.exp(spectrum)[..., None, :]) @ transpose(vectors))


def _checked(matrices: Array, weights: Array) -> tuple[Array, Array]:
    """Matrices (j, d, d), and weights (j,) that sum to one."""
    values = as_float(matrices)
    if values.ndim != 3 or values.shape[1] != values.shape[2] or values.shape[0] == 0:
        raise InputError(
            f"expected matrices of shape (j, d, d) to average, got {tuple(values.shape)}"
        )
    xp, j = namespace(values), int(values.shape[0])
    share = as_float(np.ones(j) if weights is None else weights, like=values)
    fits = tuple(share.shape) == (j,) and finite(share) and holds(share >= 0)
    if not fits or not holds(xp.sum(share) > 0):
        raise InputError(
            f"expected {j} non-negative weights, one per matrix and not all zero, got "
            f"{to_numpy(share).tolist()}"
        )
    return symmetrise(values), share / xp.sum(share)
