r"""Log-likelihood of diagonal components, of which a block of near rows needs to meet few.

Rows of a tile lie in a box. No row of it is nearer to μₖ than the box, so that

    ℓₖ ≤ uₖ = cₖ − Σᵢ hₖᵢ gₖᵢ²,   gₖᵢ = max(loᵢ − μₖᵢ, μₖᵢ − hiᵢ, 0),

and a component with uₖ far below what every row of the tile reaches without it adds nothing to
log Σ exp ℓ. What is left out is at most Σ exp(uₖ − ℓ) nats a row. (Bounds over boxes of rows:
Moore 1999, mrkd-trees.) The reference is ``everywhere.exact_loglik``, of all pairs.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math

import numpy as np

from mixtura.arrays.blocks import FAST, LANES, TILE, against, turned
from mixtura.arrays.compiled import jit
from mixtura.arrays.exponential import exp
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "log_total"]


@jit(fastmath=FAST)
def _above(
    near: FloatArray, width: int, means: FloatArray, half: FloatArray, bound: FloatArray
) -> None:
    """Take Σ h g² of all components from ``bound`` (k,); tables (d, k) are by columns."""
    zero = bound.dtype.type(0)
    for i in range(len(means)):
        column, mean, weigh = near[i], means[i], half[i]
        low = high = column[0]
        for p in range(1, width):
            low, high = min(low, column[p]), max(high, column[p])
        for j in range(len(bound)):
            gap = max(low - mean[j], mean[j] - high)
            gap = gap if gap > zero else zero
            bound[j] -= weigh[j] * gap * gap


@jit(fastmath=FAST)
def _added(out: FloatArray, lanes: int, top: FloatArray, total: FloatArray) -> None:
    """Add exp ℓ to total · exp top, with top the largest so far."""
    for p in range(lanes):
        rise = out[p] - top[p]
        power = exp(-abs(rise))
        total[p] = total[p] * power + 1 if rise > 0 else total[p] + power
        top[p] = max(top[p], out[p])


@jit(fastmath=FAST)
def log_total(
    x: FloatArray,
    weight: FloatArray,
    order: FloatArray,
    bounds: FloatArray,
    lists: FloatArray,
    anchor: FloatArray,
    means: FloatArray,
    half: FloatArray,
    const: FloatArray,
    across: FloatArray,
    steep: FloatArray,
    cut: float,
    low: int,
    high: int,
    met: FloatArray,
) -> float:
    """Σ weight · log Σₖ exp ℓₖ of rows ``order[low:high]``.

    Parameters
    ----------
    x … const : as of ``blocks.diagonal``
    across, steep : arrays (d, k)
        ``means`` and ``half``, by columns.
    cut : float
        Components whose bound lies further below what each row of a tile reaches over its list
        are left out.
    met : array (1,) of int
        The number of log joints that were evaluated is added.
    """
    near = np.zeros((means.shape[1], TILE), dtype=means.dtype)
    rows = np.empty((TILE, x.shape[1]), dtype=means.dtype)
    out = np.empty(TILE, dtype=means.dtype)
    top = np.empty(TILE, dtype=means.dtype)
    total = np.empty(TILE, dtype=means.dtype)
    bound = np.empty(len(const), dtype=means.dtype)
    loglik = 0.0
    b = np.searchsorted(bounds, low, side="right") - 1
    start = low
    while start < high:
        while bounds[b + 1] <= start:
            b += 1
        width = min(TILE, min(high, bounds[b + 1]) - start)
        lanes = (width + LANES - 1) // LANES * LANES
        turned(x, order[start : start + width], anchor, lanes, rows, near)
        for p in range(lanes):
            top[p] = -np.inf
        for s in range(lists.shape[1]):
            j = lists[b, s]
            against(near, means[j], half[j], const[j], lanes, out)
            for p in range(lanes):
                top[p] = max(top[p], out[p])
        least = top[0]
        for p in range(1, width):
            least = min(least, top[p])
        for p in range(lanes):
            total[p] = 0
        for j in range(len(bound)):
            bound[j] = const[j]
        _above(near, width, across, steep, bound)
        some = lists.shape[1]
        for j in range(len(bound)):
            if bound[j] >= least - cut:
                against(near, means[j], half[j], const[j], lanes, out)
                _added(out, lanes, top, total)
                some += 1
        met[0] += some * width
        for p in range(width):
            log_norm = math.log(total[p]) + top[p]
            loglik += weight[order[start + p]] * log_norm if len(weight) > 0 else log_norm
        start += width
    return loglik


def _signature(rows: str, real: str) -> str:
    table = f"{real}[:, ::1]"
    given = f"{rows}[:, ::1], f8[::1], i4[::1], i8[::1], i4[:, ::1], f8[::1], {table}, {table}"
    return f"f8({given}, {real}[::1], {table}, {table}, f8, i8, i8, i8[::1])"


SIGNATURES = {
    "log_total": {
        f"{rows} in {real}": _signature(rows, real)
        for rows, real in (("f8", "f8"), ("f8", "f4"), ("f4", "f4"), ("f4", "f8"))
    }
}
