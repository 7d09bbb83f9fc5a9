"""Triangular systems by the batch: L x = b and Lᵀ x = b for lower triangular L (m, d, d).

Small systems come by the thousand in a fit. A call of BLAS's ``trsm`` for each matrix takes two
microseconds; where matrices are small and many, d steps of substitution over all of them at once
take less.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import get_blas_funcs

from mixtura.typing import FloatArray

__all__ = ["solve_lower", "solve_lower_adjoint"]

#: Numbers d² p in one system, and systems per column, from which substitution goes side by side.
SMALL, MANY = 1024, 8

_trsm = get_blas_funcs("trsm", dtype=np.float64)


def solve_lower(factor: FloatArray, b: FloatArray) -> FloatArray:
    """L⁻¹ b for lower triangular L (m, d, d) and b (m, d, p), in float64."""
    return _solve(factor, b, adjoint=False)


def solve_lower_adjoint(factor: FloatArray, b: FloatArray) -> FloatArray:
    """L⁻ᵀ b for lower triangular L (m, d, d) and b (m, d, p), in float64."""
    return _solve(factor, b, adjoint=True)


def _solve(factor: FloatArray, b: FloatArray, *, adjoint: bool) -> FloatArray:
    x = np.array(b, dtype=np.float64, order="C", copy=True)
    factor = np.ascontiguousarray(factor, dtype=np.float64)
    m, d, p = x.shape
    if x.size == 0:
        return x
    if d * d * p <= SMALL and m > MANY * d:
        _side_by_side(factor, x, adjoint)
    else:
        for lower, sides in zip(factor, x, strict=True):  # xᵀ Lᵀ = bᵀ, in the memory of x
            _trsm(1.0, lower.T, sides.T, side=1, trans_a=int(adjoint), overwrite_b=1)
    return x


def _side_by_side(factor: FloatArray, x: FloatArray, adjoint: bool) -> None:
    """Substitution, one step for all systems."""
    inverse = 1.0 / np.diagonal(factor, axis1=1, axis2=2)
    d = x.shape[1]
    for i in reversed(range(d)) if adjoint else range(d):
        done = slice(i + 1, d) if adjoint else slice(0, i)
        row = factor[:, done, i] if adjoint else factor[:, i, done]
        x[:, i] -= np.einsum("ac,acp->ap", row, x[:, done])
        x[:, i] *= inverse[:, i, None]
