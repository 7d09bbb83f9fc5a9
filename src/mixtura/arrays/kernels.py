"""Compiled kernels (Numba), each beside a readable reference in the tests.

Small triangular systems come by the thousand in a fit; a library call for each costs more than the
arithmetic, and wakes BLAS's threads. Compiled code is cached on disk beside the source, or in the
user's cache where that is not writable.
"""

from __future__ import annotations

import numba
import numpy as np

from mixtura.typing import FloatArray

__all__ = ["SMALL", "solve_lower", "solve_lower_adjoint"]

#: Sizes up to which the compiled substitution is used instead of LAPACK's.
SMALL = 128


@numba.njit(cache=True, nogil=True)
def _forward(factor: FloatArray, x: FloatArray) -> None:
    m, d, p = x.shape
    for a in range(m):
        for i in range(d):
            for j in range(i):
                scale = factor[a, i, j]
                for c in range(p):
                    x[a, i, c] -= scale * x[a, j, c]
            inverse = 1.0 / factor[a, i, i]
            for c in range(p):
                x[a, i, c] *= inverse


@numba.njit(cache=True, nogil=True)
def _backward(factor: FloatArray, x: FloatArray) -> None:
    m, d, p = x.shape
    for a in range(m):
        for back in range(d):
            i = d - 1 - back
            for j in range(i + 1, d):
                scale = factor[a, j, i]
                for c in range(p):
                    x[a, i, c] -= scale * x[a, j, c]
            inverse = 1.0 / factor[a, i, i]
            for c in range(p):
                x[a, i, c] *= inverse


def solve_lower(factor: FloatArray, b: FloatArray) -> FloatArray:
    """L⁻¹ b for lower triangular L (m, d, d) and b (m, d, p), in float64."""
    return _run(_forward, factor, b)


def solve_lower_adjoint(factor: FloatArray, b: FloatArray) -> FloatArray:
    """L⁻ᵀ b for lower triangular L (m, d, d) and b (m, d, p), in float64."""
    return _run(_backward, factor, b)


def _run(kernel: object, factor: FloatArray, b: FloatArray) -> FloatArray:
    x = np.array(b, dtype=np.float64, order="C", copy=True)
    kernel(np.ascontiguousarray(factor, dtype=np.float64), x)  # type: ignore[operator]
    return x
