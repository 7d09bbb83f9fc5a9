r"""Factor analysers by exact differences: log joints, and moments.

With Σₖ⁻¹ = diag(Θₖ) − Uₖ Uₖᵀ and the difference y = x − μₖ,

    ℓₖ = cₖ − ½ Σᵢ Θₖᵢ yᵢ² + ½ ‖Uₖᵀ y‖²,

r + 1 inner products for a pair of row and component. Four rows go together, so that a number of
a table is read once for four of them. Rows are centred before they are multiplied, by a function
of its own in which sums are not reordered. The reference is ``LowRankCovariance.form``.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

from typing import Any

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "blocks", "moments", "pairs"]

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


_ROWS = "i4[::1]"


def _signatures() -> dict[str, Any]:
    """By the types of rows and of tables, as in "f4 in f8"."""
    found: dict[str, Any] = {"blocks": {}, "pairs": {}, "moments": {}}
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
    return found


SIGNATURES = _signatures()
