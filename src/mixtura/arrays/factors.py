r"""Factor analysers by exact differences: log joints, moments, and what the M-step makes of them.

With Σₖ⁻¹ = diag(Θₖ) − Uₖ Uₖᵀ and the difference y = x − μₖ,

    ℓₖ = cₖ − ½ Σᵢ Θₖᵢ yᵢ² + ½ ‖Uₖᵀ y‖²,

r + 1 inner products for a pair of row and component. Four rows go together, so that a number of
a table is read once for four of them. Rows are centred before they are multiplied, by a function
of its own in which sums are not reordered. The reference is ``LowRankCovariance.form``, that of the
M-step ``LowRank`` and ``LowRankCovariance`` themselves.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["blocks", "maximised", "moments", "pairs", "solved", "tabled"]

#: Sums may be reordered; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


@jit
def centred(
    x: FloatArray, rows: FloatArray, low: int, width: int, anchor: FloatArray, near: FloatArray
) -> None:
    """Rows of a tile about the anchor."""
    for p in range(width):
        row, out = x[rows[low + p]], near[p]
        for i in range(len(anchor)):
            out[i] = row[i] - anchor[i]


@jit(fastmath=FAST)
def four(
    near: FloatArray,
    p: int,
    last: int,
    mean: FloatArray,
    theta: FloatArray,
    factors: FloatArray,
    y: FloatArray,
) -> tuple[float, float, float, float]:
    """½ δ of four rows from p on, by two factors at a time; the last row stands in for others."""
    d = len(mean)
    x0, x1, x2, x3 = near[p], near[min(p + 1, last)], near[min(p + 2, last)], near[min(p + 3, last)]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    zero = mean[0] - mean[0]
    s0 = s1 = s2 = s3 = zero
    for i in range(d):
        m, t = mean[i], theta[i]
        a0, a1, a2, a3 = x0[i] - m, x1[i] - m, x2[i] - m, x3[i] - m
        y0[i], y1[i], y2[i], y3[i] = a0, a1, a2, a3
        s0 += t * a0 * a0
        s1 += t * a1 * a1
        s2 += t * a2 * a2
        s3 += t * a3 * a3
    r = factors.shape[0]
    for j in range(0, r - 1, 2):
        u, v = factors[j], factors[j + 1]
        z0 = z1 = z2 = z3 = zero
        w0 = w1 = w2 = w3 = zero
        for i in range(d):
            one, two = u[i], v[i]
            z0 += one * y0[i]
            z1 += one * y1[i]
            z2 += one * y2[i]
            z3 += one * y3[i]
            w0 += two * y0[i]
            w1 += two * y1[i]
            w2 += two * y2[i]
            w3 += two * y3[i]
        s0 -= z0 * z0 + w0 * w0
        s1 -= z1 * z1 + w1 * w1
        s2 -= z2 * z2 + w2 * w2
        s3 -= z3 * z3 + w3 * w3
    if r % 2 == 1:
        u = factors[r - 1]
        z0 = z1 = z2 = z3 = zero
        for i in range(d):
            z0 += u[i] * y0[i]
            z1 += u[i] * y1[i]
            z2 += u[i] * y2[i]
            z3 += u[i] * y3[i]
        s0 -= z0 * z0
        s1 -= z1 * z1
        s2 -= z2 * z2
        s3 -= z3 * z3
    return s0, s1, s2, s3


@jit(fastmath=FAST)
def blocks(
    x: FloatArray,
    rows: FloatArray,
    starts: FloatArray,
    lists: FloatArray,
    anchor: FloatArray,
    means: FloatArray,
    theta: FloatArray,
    factors: FloatArray,
    const: FloatArray,
    near: FloatArray,
    y: FloatArray,
    joint: FloatArray,
) -> None:
    """Log joints of rows with the components of their block's list.

    Parameters
    ----------
    x : array (n, d)
    rows : array (b,) of int
        Block a has ``rows[starts[a]:starts[a + 1]]``.
    lists : array (m, c) of int
    anchor : array (d,)
    means : array (k, d)
        About the anchor.
    theta, factors : arrays (k, d), (k, r, d)
        ½ Θ, and Uᵀ / √2.
    const : array (k,)
    near, y : arrays (t, d), (4, d)
        Working memory, for tiles of t rows.
    joint : array (b, c)
        Written.
    """
    tile = len(near)
    for a in range(len(lists)):
        for low in range(starts[a], starts[a + 1], tile):
            width = min(tile, starts[a + 1] - low)
            centred(x, rows, low, width, anchor, near)
            for s in range(lists.shape[1]):
                k = lists[a, s]
                for p in range(0, width, 4):
                    s0, s1, s2, s3 = four(near, p, width - 1, means[k], theta[k], factors[k], y)
                    joint[low + p, s] = const[k] - s0
                    joint[low + min(p + 1, width - 1), s] = const[k] - s1
                    joint[low + min(p + 2, width - 1), s] = const[k] - s2
                    joint[low + min(p + 3, width - 1), s] = const[k] - s3


@jit(fastmath=FAST)
def pairs(
    x: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    anchor: FloatArray,
    means: FloatArray,
    theta: FloatArray,
    factors: FloatArray,
    const: FloatArray,
    near: FloatArray,
    y: FloatArray,
    joint: FloatArray,
) -> None:
    """Log joints of rows that are grouped by component, written to ``joint`` (n, k).

    Parameters
    ----------
    rows, bounds : arrays (m,), (k + 1,) of int
        Component j has ``rows[bounds[j]:bounds[j + 1]]``.
    """
    tile = len(near)
    for j in range(len(const)):
        for low in range(bounds[j], bounds[j + 1], tile):
            width = min(tile, bounds[j + 1] - low)
            centred(x, rows, low, width, anchor, near)
            for p in range(0, width, 4):
                s0, s1, s2, s3 = four(near, p, width - 1, means[j], theta[j], factors[j], y)
                joint[rows[low + p], j] = const[j] - s0
                joint[rows[low + min(p + 1, width - 1)], j] = const[j] - s1
                joint[rows[low + min(p + 2, width - 1)], j] = const[j] - s2
                joint[rows[low + min(p + 3, width - 1)], j] = const[j] - s3


@jit(fastmath=FAST)
def moments(
    begin: int,
    end: int,
    x: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    values: FloatArray,
    anchor: FloatArray,
    means: FloatArray,
    basis: FloatArray,
    near: FloatArray,
    part: FloatArray,
    mass: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Add Σ v, Σ v y, and βᵀ Σ v y yᵀ and Σ v y², of the rows of components begin, …, end − 1.

    Parameters
    ----------
    rows, values : arrays (m,)
        Places in ``x``, and weights v; component j has ``bounds[j]:bounds[j + 1]`` of them.
    means, basis : arrays (k, d), (k or 1, r, d)
        μ about the anchor, and βᵀ.
    near, part : arrays (t, d), (2 r + 2, d)
        Working memory.
    mass, first, second : arrays (k,), (k, d), (k, r d + d)
    """
    d, r, tile = means.shape[1], basis.shape[1], len(near)
    zero = means[0, 0] - means[0, 0]
    along, squares = part[r + 1], part[r]
    for j in range(begin, end):
        mean, given = means[j], basis[j % len(basis)]
        for f in range(r):  # in the type of the sums
            beta = part[r + 2 + f]
            for i in range(d):
                beta[i] = given[f, i]
        for start in range(bounds[j], bounds[j + 1], tile):
            width = min(tile, bounds[j + 1] - start)
            centred(x, rows, start, width, anchor, near)
            for f in range(r + 2):
                out = part[f]
                for i in range(d):
                    out[i] = zero
            for p in range(width):
                v, row = values[start + p], near[p]
                mass[j] += v
                for i in range(d):
                    row[i] -= mean[i]
                    along[i] += v * row[i]
                    squares[i] += v * row[i] * row[i]
            for f in range(r):
                beta, out = part[r + 2 + f], part[f]
                for p in range(0, width, 2):
                    q = min(p + 1, width - 1)
                    one, two, z, w = near[p], near[q], zero, zero
                    for i in range(d):
                        z += beta[i] * one[i]
                        w += beta[i] * two[i]
                    z *= values[start + p]
                    w *= values[start + q] if q > p else zero
                    for i in range(d):
                        out[i] += z * one[i] + w * two[i]
            for i in range(d):
                first[j, i] += along[i]
            for f in range(r + 1):
                out, total = part[f], second[j, f * d : f * d + d]
                for i in range(d):
                    total[i] += out[i]


# ---- the M-step ----------------------------------------------------------------------------------
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
) -> int:
    """L with L Lᵀ = M = I + Wᵀ Ψ⁻¹ W, (U, β)ᵀ with U = Ψ⁻¹ W L⁻ᵀ and β = U L⁻¹, log|Σ|, diag Σ.

    Returns the first component whose M has no factor, −1 where all have.

    Parameters
    ----------
    loadings, noise : arrays (k, r, d), (k, d)
        Wᵀ and Ψ.
    factor, u, beta, logdet, diagonal : arrays (k, r, r), (k, r, d), (k, r, d), (k,), (k, d)
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
def tabled(
    noise: FloatArray,
    diagonal: FloatArray,
    u: FloatArray,
    theta: FloatArray,
    factors: FloatArray,
    cancels: FloatArray,
) -> None:
    """½ Θ and Uᵀ / √2 in the type of the tables, and Σ Θᵢ Σᵢᵢ of each component.

    Parameters
    ----------
    noise, diagonal, u : arrays (k, d), (k, d), (k, r, d)
    theta, factors, cancels : arrays (k, d), (k, r, d), (k,)
        Written.
    """
    k, r, d = u.shape
    half = np.sqrt(0.5)
    for j in range(k):
        total = 0.0
        for i in range(d):
            precision = 1.0 / noise[j, i]
            total += precision * diagonal[j, i]
            theta[j, i] = 0.5 * precision
        cancels[j] = total
        for f in range(r):
            for i in range(d):
                factors[j, f, i] = half * u[j, f, i]


_ROWS, _M, _T = "i4[::1]", "f8[:, ::1]", "f8[:, :, ::1]"


def _signatures() -> dict[str, Any]:
    """By the types of rows and of tables, as in "f4 in f8"."""
    found: dict[str, Any] = {"blocks": {}, "pairs": {}, "moments": {}, "tabled": {}}
    for x in ("f4", "f8"):
        for t in ("f4", "f8"):
            rows, table, vector = f"{x}[:, ::1]", f"{t}[:, ::1]", f"{t}[::1]"
            anchor = f"{max(x, t)}[::1]"
            tables = f"{table}, {table}, {t}[:, :, ::1], {vector}, {table}, {table}"
            lists = f"i8[::1], i4[:, ::1], {anchor}, {tables}"
            kept = f"{table}, f8[:, :, ::1], {table}, {table}, f8[::1], f8[:, ::1], f8[:, ::1]"
            key = f"{x} in {t}"
            found["blocks"][key] = f"void({rows}, {_ROWS}, {lists}, {table})"
            found["pairs"][key] = f"void({rows}, {_ROWS}, i8[::1], {anchor}, {tables}, {table})"
            found["moments"][key] = (
                f"void(i8, i8, {rows}, {_ROWS}, i8[::1], {vector}, {anchor}, {kept})"
            )
            found["tabled"][key] = f"void({_M}, {_M}, {_T}, {table}, {t}[:, :, ::1], f8[::1])"
    return found


SIGNATURES = _signatures() | {
    "maximised": [f"void({_M}, {_M}, f8[::1], f8[::1], {_T}, {_T}, {_T}, {_M})"],
    "solved": [f"i8({_T}, {_M}, {_T}, {_T}, {_T}, f8[::1], {_M})"],
}
