r"""The M-step of factor analysers, and what the next E-step takes of it, component by component.

Every table of many components is larger than a cache, so that each is read and written once. The
reference is ``LowRank`` and ``LowRankCovariance`` in NumPy.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.factors import FAST
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "maximised", "solved", "tabled"]


@jit(fastmath=FAST)
def maximised(
    second: FloatArray,
    first: FloatArray,
    weight: FloatArray,
    mass: FloatArray,
    basis: FloatArray,
    previous: FloatArray,
    loadings: FloatArray,
    noise: FloatArray,
) -> None:
    """W = C E⁻¹ with C = S β, E = I − βᵀ W + βᵀ C, and diag(S − W Cᵀ), but for the floor.

    Parameters
    ----------
    second, first : arrays (k, r d + d), (k, d)
        Sums about an anchor.
    weight, mass : arrays (k,)
        Their divisors for means and for moments, positive.
    basis, previous : arrays (k, r, d)
        βᵀ, and Wᵀ of the last step.
    loadings, noise : arrays (k, r, d), (k, d)
        Written: Wᵀ, and the diagonal.
    """
    k, r, d = previous.shape
    inner, shift, product = np.empty((r, r)), np.empty(d), np.empty((r, d))
    for j in range(k):
        for i in range(d):
            shift[i] = first[j, i] / weight[j]
        for f in range(r):
            beta, made, moment, along = basis[j, f], product[f], second[j, f * d : f * d + d], 0.0
            for i in range(d):
                along += first[j, i] * beta[i]
            for i in range(d):
                made[i] = (moment[i] - along * shift[i]) / mass[j]
        for f in range(r):
            for g in range(r):
                beta, old, made, total = basis[j, f], previous[j, g], product[g], 0.0
                for i in range(d):
                    total += beta[i] * (old[i] - made[i])
                inner[g, f] = (1.0 if f == g else 0.0) - total
                loadings[j, f] = product[f]
        eliminated(inner, loadings[j])
        rest = noise[j]
        moment = second[j, r * d : r * d + d]
        for i in range(d):
            rest[i] = (moment[i] - first[j, i] * shift[i]) / mass[j]
        for f in range(r):
            found, made = loadings[j, f], product[f]
            for i in range(d):
                rest[i] -= found[i] * made[i]


@jit(fastmath=FAST)
def eliminated(inner: FloatArray, sides: FloatArray) -> None:
    """Solve A X = B for A (r, r) and B (r, d), in place, by Gauss with pivots by columns."""
    r, d = sides.shape
    for f in range(r):
        pivot = f
        for g in range(f + 1, r):
            if abs(inner[g, f]) > abs(inner[pivot, f]):
                pivot = g
        if pivot != f:
            for g in range(r):
                inner[f, g], inner[pivot, g] = inner[pivot, g], inner[f, g]
            for i in range(d):
                sides[f, i], sides[pivot, i] = sides[pivot, i], sides[f, i]
        for g in range(f + 1, r):
            share, above, below = inner[g, f] / inner[f, f], sides[f], sides[g]
            for h in range(f + 1, r):
                inner[g, h] -= share * inner[f, h]
            for i in range(d):
                below[i] -= share * above[i]
    for f in range(r - 1, -1, -1):
        own = sides[f]
        for g in range(f + 1, r):
            share, other = inner[f, g], sides[g]
            for i in range(d):
                own[i] -= share * other[i]
        for i in range(d):
            own[i] /= inner[f, f]


@jit(fastmath=FAST)
def solved(
    loadings: FloatArray,
    noise: FloatArray,
    factor: FloatArray,
    u: FloatArray,
    beta: FloatArray,
    logdet: FloatArray,
    diagonal: FloatArray,
    inflation: FloatArray,
) -> int:
    """The fields of ``Solved`` in ``covariance.lowrank``, component by component.

    Returns the first component whose M has no factor, −1 where all have.

    Parameters
    ----------
    loadings, noise : arrays (k, r, d), (k, d)
        Wᵀ and Ψ.
    factor, u, beta, logdet, diagonal, inflation : arrays (k, r, r), (k, r, d), (k, r, d), (k,), \
            (k, d), (k,)
        Written.
    """
    k, r, d = loadings.shape
    scaled, root, inverse = np.empty((r, d)), np.empty((r, r)), np.empty(d)
    for j in range(k):
        lower, total = factor[j], 0.0
        for i in range(d):
            total += np.log(noise[j, i])
            inverse[i], diagonal[j, i] = 1.0 / noise[j, i], noise[j, i]
        logdet[j] = total
        for f in range(r):
            given, out = loadings[j, f], scaled[f]
            for i in range(d):
                out[i] = given[i] * inverse[i]
                diagonal[j, i] += given[i] * given[i]
        total = 0.0
        for i in range(d):
            total += inverse[i] * diagonal[j, i]
        inflation[j] = total
        for f in range(r):  # Cholesky's factor, row by row
            for g in range(r):
                lower[f, g] = root[f, g] = 0.0
            for g in range(f + 1):
                one, two, total = scaled[f], loadings[j, g], 1.0 if f == g else 0.0
                for i in range(d):
                    total += one[i] * two[i]
                for h in range(g):
                    total -= lower[f, h] * lower[g, h]
                if f > g:
                    lower[f, g] = total / lower[g, g]
                elif total > 0 and np.isfinite(total):
                    lower[f, f] = np.sqrt(total)
                else:
                    return j
        for f in range(r):  # its inverse
            root[f, f] = 1.0 / lower[f, f]
            logdet[j] += 2.0 * np.log(lower[f, f])
            for g in range(f):
                total = 0.0
                for h in range(g, f):
                    total += lower[f, h] * root[h, g]
                root[f, g] = -total / lower[f, f]
        for f in range(r):
            out = u[j, f]
            for i in range(d):
                out[i] = 0.0
            for g in range(f + 1):
                share, given = root[f, g], scaled[g]
                for i in range(d):
                    out[i] += share * given[i]
        for f in range(r):
            out = beta[j, f]
            for i in range(d):
                out[i] = 0.0
            for g in range(f, r):
                share, given = root[g, f], u[j, g]
                for i in range(d):
                    out[i] += share * given[i]
    return -1


@jit(fastmath=FAST)
def tabled(noise: FloatArray, u: FloatArray, theta: FloatArray, factors: FloatArray) -> None:
    """½ Θ and Uᵀ / √2 in the type of the tables.

    Parameters
    ----------
    noise, u : arrays (k, d), (k, r, d)
    theta, factors : arrays (k, d), (k, r, d)
        Written.
    """
    k, r, d = u.shape
    half = np.sqrt(0.5)
    for j in range(k):
        for i in range(d):
            theta[j, i] = 0.5 / noise[j, i]
        for f in range(r):
            for i in range(d):
                factors[j, f, i] = half * u[j, f, i]


_V, _M, _T = "f8[::1]", "f8[:, ::1]", "f8[:, :, ::1]"
SIGNATURES = {
    "maximised": [f"void({_M}, {_M}, {_V}, {_V}, {_T}, {_T}, {_T}, {_M})"],
    "solved": [f"i8({_T}, {_M}, {_T}, {_T}, {_T}, {_V}, {_M}, {_V})"],
    "tabled": {t: f"void({_M}, {_T}, {t}[:, ::1], {t}[:, :, ::1])" for t in ("f4", "f8")},
}
