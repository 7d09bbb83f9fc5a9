r"""One EM step of diagonal components, of which each row meets few: blocks of rows share a list.

Rows that belong to one block are held against the components of its list alone,

    ℓₖ = cₖ − Σᵢ hₖᵢ (xᵢ − μₖᵢ)²,   rₖ = exp ℓₖ / Σ exp ℓₗ over the list,

with differences, so that no digits cancel, and with rows as the lanes of vector instructions. The
moments Σ r, Σ r (x − μₖ) and Σ r (x − μₖ)² are then added for the pairs of row and component that
matter: over the rows of a tile in the type that is computed in, over tiles in float64. The
reference is the general pass of ``fit.among``, which serves for every structure.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.exponential import exp
from mixtura.typing import FloatArray

__all__ = ["against", "diagonal", "turned"]

#: Rows of a tile: lanes of the inner loops.
TILE = 128
#: Lanes are filled up to a multiple of this, so that no row is left to a scalar loop.
LANES = 32
#: Columns that one pass over a tile takes together; tables are padded to a multiple of it.
STRIDE = 8
#: Sums may be reordered; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


@jit(fastmath=FAST)
def turned(
    x: FloatArray,
    index: FloatArray,
    anchor: FloatArray,
    lanes: int,
    rows: FloatArray,
    near: FloatArray,
) -> None:
    """Some rows about the anchor: in ``rows``, and as columns in ``near``, zeros after them."""
    width, d = len(index), x.shape[1]
    for p in range(width):
        source = x[index[p]]
        row = rows[p]
        for i in range(d):
            row[i] = source[i] - anchor[i]
    for i in range(d):
        column = near[i]
        for p in range(width):
            column[p] = rows[p, i]
        for p in range(width, lanes):
            column[p] = 0


@jit(fastmath=FAST)
def against(
    near: FloatArray, mean: FloatArray, weigh: FloatArray, level: Any, lanes: int, out: FloatArray
) -> None:
    """Log joints of a tile with one component."""
    for p in range(lanes):
        out[p] = level
    for i in range(0, len(mean), STRIDE):
        x0, x1, x2, x3 = near[i], near[i + 1], near[i + 2], near[i + 3]
        x4, x5, x6, x7 = near[i + 4], near[i + 5], near[i + 6], near[i + 7]
        m0, m1, m2, m3 = mean[i], mean[i + 1], mean[i + 2], mean[i + 3]
        m4, m5, m6, m7 = mean[i + 4], mean[i + 5], mean[i + 6], mean[i + 7]
        h0, h1, h2, h3 = weigh[i], weigh[i + 1], weigh[i + 2], weigh[i + 3]
        h4, h5, h6, h7 = weigh[i + 4], weigh[i + 5], weigh[i + 6], weigh[i + 7]
        for p in range(lanes):
            d0, d1, d2, d3 = x0[p] - m0, x1[p] - m1, x2[p] - m2, x3[p] - m3
            d4, d5, d6, d7 = x4[p] - m4, x5[p] - m5, x6[p] - m6, x7[p] - m7
            one = h0 * d0 * d0 + h1 * d1 * d1 + h2 * d2 * d2 + h3 * d3 * d3
            two = h4 * d4 * d4 + h5 * d5 * d5 + h6 * d6 * d6 + h7 * d7 * d7
            out[p] -= one + two


@jit(fastmath=FAST)
def diagonal(
    x: FloatArray,
    weight: FloatArray,
    order: FloatArray,
    bounds: FloatArray,
    lists: FloatArray,
    anchor: FloatArray,
    means: FloatArray,
    half: FloatArray,
    const: FloatArray,
    low: int,
    high: int,
    least: float,
    shares: FloatArray,
    best: FloatArray,
    far: FloatArray,
    mass: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> float:
    """Add the moments of rows ``order[low:high]``, and return their log-likelihood.

    Parameters
    ----------
    x : array (n, d)
        In any floating type.
    weight : array (n,), or (0,) where rows count once
    order, bounds : arrays (n,), (m + 1,) of int
        Block b has rows ``order[bounds[b]:bounds[b + 1]]``.
    lists : array (m, c) of int
        Distinct components for the rows of each block.
    anchor : array (d,)
    means, half : arrays (k, d), padded with zeros to a multiple of eight columns
        Means about the anchor and halves of precisions, in the type that is computed in.
    const : array (k,)
    least : float
        Responsibilities up to this are left out of moments.
    shares : array (m, c)
        Responsibilities of each block are added.
    best : array (n,) of int
        Written: the component of each row's largest log joint.
    far : array (n,) of float32
        Written: half of the squared Mahalanobis distance to that component.
    mass, first, second : arrays (k,), (k, d), (k, d) or (k, 1)
        Moments about the means are added, of the last one the sum over columns where it has one.
    """
    d, wide, c = x.shape[1], means.shape[1], lists.shape[1]
    near = np.zeros((wide, TILE), dtype=means.dtype)
    rows = np.empty((TILE, d), dtype=means.dtype)
    joint = np.empty((c, TILE), dtype=means.dtype)
    top = np.empty(TILE, dtype=means.dtype)
    total = np.empty(TILE, dtype=means.dtype)
    chosen = np.empty(TILE, dtype=np.int32)
    sum1 = np.empty(d, dtype=means.dtype)
    sum2 = np.empty(d, dtype=means.dtype)
    value = np.empty(TILE + 1, dtype=means.dtype)
    hits = np.empty(TILE + 1, dtype=np.int32)
    zero = means.dtype.type(0)
    trace = second.shape[1] < d
    loglik = 0.0
    b = np.searchsorted(bounds, low, side="right") - 1
    start = low
    while start < high:
        while bounds[b + 1] <= start:
            b += 1
        width = min(TILE, min(high, bounds[b + 1]) - start)
        lanes = (width + LANES - 1) // LANES * LANES
        turned(x, order[start : start + width], anchor, lanes, rows, near)
        for s in range(c):
            j, out = lists[b, s], joint[s]
            against(near, means[j], half[j], const[j], lanes, out)
            if s == 0:
                for p in range(lanes):
                    top[p] = out[p]
                    chosen[p] = 0
            else:
                for p in range(lanes):
                    better = out[p] > top[p]
                    top[p] = out[p] if better else top[p]
                    chosen[p] = s if better else chosen[p]
        for p in range(lanes):
            total[p] = 0
        for s in range(c):
            out = joint[s]
            for p in range(lanes):
                out[p] = exp(out[p] - top[p])
                total[p] += out[p]
        for p in range(width):
            i = order[start + p]
            best[i] = lists[b, chosen[p]]
            far[i] = const[best[i]] - top[p]
            log_norm = math.log(total[p]) + top[p]
            if len(weight) > 0:
                loglik += weight[i] * log_norm
                total[p] = weight[i] / total[p]
            else:
                loglik += log_norm
                total[p] = 1 / total[p]
        for s in range(c):
            out, j = joint[s], lists[b, s]
            most = zero
            for p in range(width):
                most = max(most, out[p])
            if most <= least:
                continue
            mean, m1, m2 = means[j], first[j], second[j]
            count = 0
            for p in range(width):
                hits[count] = p
                count += out[p] > least
            along = 0.0
            for q in range(count):
                value[q] = out[hits[q]] * total[hits[q]]
                along += value[q]
            for i in range(d):
                sum1[i] = 0
                sum2[i] = 0
            if count % 2 == 1:
                hits[count] = hits[0]
                value[count] = 0
            for q in range(0, count, 2):
                r, t = value[q], value[q + 1]
                row, other = rows[hits[q]], rows[hits[q + 1]]
                for i in range(d):
                    e, f = row[i] - mean[i], other[i] - mean[i]
                    re, tf = r * e, t * f
                    sum1[i] += re + tf
                    sum2[i] += re * e + tf * f
            if trace:
                square = 0.0
                for i in range(d):
                    square += sum2[i]
                    m1[i] += sum1[i]
                m2[0] += square
            else:
                for i in range(d):
                    m1[i] += sum1[i]
                    m2[i] += sum2[i]
            shares[b, s] += along
            mass[j] += along
        start += width
    return loglik


def _signature(rows: str, real: str) -> str:
    table, whole = f"{real}[:, ::1]", "f8[:, ::1]"
    given = f"{rows}[:, ::1], f8[::1], i4[::1], i8[::1], i4[:, ::1], f8[::1]"
    return (
        f"f8({given}, {table}, {table}, {real}[::1], i8, i8, f8, {whole}, i4[::1], f4[::1], "
        f"f8[::1], {whole}, {whole})"
    )


SIGNATURES = {
    "diagonal": {
        f"{rows} in {real}": _signature(rows, real)
        for rows, real in (("f8", "f8"), ("f8", "f4"), ("f4", "f4"), ("f4", "f8"))
    }
}
