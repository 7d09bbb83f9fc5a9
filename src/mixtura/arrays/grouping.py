r"""Responsibilities that matter, grouped by component, and the moments of the rows of each group.

In a mixture of many components few explain a row: rₖ = exp(ℓₖ − log Σₗ exp ℓₗ) is below 1e-15 for
most. ``group`` keeps the others, component by component, and ``scatter`` adds

    Nₖ += Σ r,   mₖ += Σ r (x − aₖ),   Mₖ += Σ r (x − aₖ)(x − aₖ)ᵀ

(of M its upper triangle, or diagonal) over the rows kept, where matrix products would multiply by
zeros. The references are ``normalise`` and ``gather``, of whole arrays.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["group", "scatter_diagonal", "scatter_full"]

#: Entries whose largest is looked at before any of them.
BLOCK = 16
#: Rows of a group that are turned around together.
TILE = 256
#: Sums may be reordered, and numbers compared as if none were NaN.
FAST = {"reassoc", "contract", "nsz", "nnan"}


@jit(fastmath=FAST)
def _keep(
    joint: FloatArray,
    cut: float,
    log_norm: FloatArray,
    component: FloatArray,
    value: FloatArray,
    ends: FloatArray,
) -> int:
    """Entries of each row within ``cut`` of its largest, normalised; their number, −1 if many."""
    b, k = joint.shape
    blocks, most = k // BLOCK, len(value)
    tops = np.empty(blocks + 1, dtype=joint.dtype)
    kept = 0
    for i in range(b):
        row = joint[i]
        top = row[k - 1]
        for g in range(blocks):
            best = row[g * BLOCK]
            for j in range(g * BLOCK, g * BLOCK + BLOCK):
                best = max(best, row[j])
            tops[g] = best
            top = max(top, best)
        best = row[k - 1]
        for j in range(blocks * BLOCK, k):
            best = max(best, row[j])
        tops[blocks] = best
        top = max(top, best)
        least = top - cut
        if kept + k > most:  # may not fit: count first
            there = 0
            for j in range(k):
                there += 1 if row[j] > least else 0
            if kept + there > most:
                return -1
        start, total = kept, 0.0
        for g in range(blocks + 1):
            if tops[g] > least:
                for j in range(g * BLOCK, min(g * BLOCK + BLOCK, k)):
                    if row[j] > least:
                        e = math.exp(row[j] - top)
                        component[kept] = j
                        value[kept] = e
                        total += e
                        kept += 1
        for p in range(start, kept):
            value[p] /= total
        log_norm[i] = math.log(total) + top if kept > start else -np.inf
        ends[i] = kept
    return kept


@jit
def group(
    joint: FloatArray,
    weight: FloatArray,
    cut: float,
    log_norm: FloatArray,
    rows: FloatArray,
    values: FloatArray,
    bounds: FloatArray,
) -> int:
    """Normalise log joints (b, k), and group what matters by component.

    Parameters
    ----------
    weight : array (b,), or (0,) where rows count once
    cut : float
        Responsibilities below exp(−cut) of a row's largest are dropped.
    log_norm : array (b,)
        Written: log p(x), unweighted.
    rows, values, bounds : arrays (m,), (m,), (k + 1,)
        Written: component j has rows[bounds[j]:bounds[j + 1]] with weighted responsibilities.

    Returns
    -------
    int
        The number kept; −1 where they are more than m, or the density of a row is zero.
    """
    b, k = joint.shape
    component = np.empty(len(rows), dtype=np.int32)
    value = np.empty(len(rows), dtype=joint.dtype)
    ends = np.empty(b, dtype=np.int64)
    kept: int = _keep(joint, cut, log_norm, component, value, ends)
    if kept < 0:
        return -1
    for i in range(b):
        if not np.isfinite(log_norm[i]):
            return -1
    place = np.zeros(k + 1, dtype=np.int64)
    for p in range(kept):
        place[component[p] + 1] += 1
    for j in range(k):
        place[j + 1] += place[j]
    bounds[:] = place
    p = 0
    for i in range(b):
        while p < ends[i]:
            j = component[p]
            rows[place[j]] = i
            values[place[j]] = value[p] * weight[i] if len(weight) > 0 else value[p]
            place[j] += 1
            p += 1
    return kept


@jit(fastmath=FAST)
def _columns(
    x: FloatArray,
    own: FloatArray,
    rows: FloatArray,
    values: FloatArray,
    low: int,
    high: int,
    j: int,
    near: FloatArray,
    scaled: FloatArray,
) -> float:
    """Turn a tile of a group around: x − aₖ and r (x − aₖ), rows as lanes; the sum of r."""
    mass = 0.0
    for p in range(low, high):
        r, row = values[p], x[rows[p]]
        mass += r
        for c in range(x.shape[1]):
            cell = row[c] - own[j, c] if len(own) > 0 else row[c]
            near[c, p - low] = cell
            scaled[c, p - low] = r * cell
    return mass


@jit(fastmath=FAST)
def scatter_full(
    x: FloatArray,
    own: FloatArray,
    rows: FloatArray,
    values: FloatArray,
    bounds: FloatArray,
    mass: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Add to mass (k,), first (k, d) and packed second moments (k or 1, d (d + 1) / 2).

    Parameters
    ----------
    x : array (b, d)
    own : array (k, d), or (0, d)
        Anchors of the components; the origin if empty.
    rows, values, bounds
        As ``group`` writes them.
    """
    d = x.shape[1]
    near = np.zeros((d + 3, TILE), dtype=x.dtype)  # three more, so that four are always there
    scaled = np.empty((d, TILE), dtype=x.dtype)
    zero = x.dtype.type(0)
    for j in range(len(mass)):
        total = second[min(j, len(second) - 1)]
        for low in range(bounds[j], bounds[j + 1], TILE):
            high = min(low + TILE, bounds[j + 1])
            mass[j] += _columns(x, own, rows, values, low, high, j, near, scaled)
            width, start = high - low, 0
            for i in range(d):
                s = scaled[i]
                along = zero
                for p in range(width):
                    along += s[p]
                first[j, i] += along
                for c in range(i, d, 4):
                    x0, x1, x2, x3 = near[c], near[c + 1], near[c + 2], near[c + 3]
                    t0, t1, t2, t3 = zero, zero, zero, zero
                    for p in range(width):
                        t0 += s[p] * x0[p]
                        t1 += s[p] * x1[p]
                        t2 += s[p] * x2[p]
                        t3 += s[p] * x3[p]
                    at = start + c - i
                    total[at] += t0
                    if c + 1 < d:
                        total[at + 1] += t1
                    if c + 2 < d:
                        total[at + 2] += t2
                    if c + 3 < d:
                        total[at + 3] += t3
                start += d - i


@jit(fastmath=FAST)
def scatter_diagonal(
    x: FloatArray,
    own: FloatArray,
    rows: FloatArray,
    values: FloatArray,
    bounds: FloatArray,
    mass: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """``scatter_full`` of the diagonals alone (k or 1, d), or of the traces (k or 1, 1)."""
    d = x.shape[1]
    squares = np.zeros(d, dtype=x.dtype)
    sums = np.zeros(d, dtype=x.dtype)
    near = np.empty(d, dtype=x.dtype)
    trace = second.shape[1] < d
    for j in range(len(mass)):
        if bounds[j] == bounds[j + 1]:
            continue
        squares[:] = 0
        sums[:] = 0
        for p in range(bounds[j], bounds[j + 1]):
            r, row = values[p], x[rows[p]]
            mass[j] += r
            if len(own) > 0:
                for c in range(d):
                    near[c] = row[c] - own[j, c]
                row = near
            for c in range(d):
                sums[c] += r * row[c]
                squares[c] += r * row[c] * row[c]
        total = second[min(j, len(second) - 1)]
        for c in range(d):
            first[j, c] += sums[c]
            total[0 if trace else c] += squares[c]


def _signatures(real: str) -> dict[str, str]:
    table, vector, whole = f"{real}[:, ::1]", f"{real}[::1]", "f8[:, ::1]"
    kept = f"i4[::1], {vector}, i8[::1]"
    scatter = f"void({table}, {table}, {kept}, f8[::1], {whole}, {whole})"
    return {
        "group": f"i8({table}, f8[::1], {real}, {vector}, {kept})",
        "scatter_full": scatter,
        "scatter_diagonal": scatter,
    }


SIGNATURES = {
    name: {real: _signatures(real)[name] for real in ("f8", "f4")}
    for name in ("group", "scatter_full", "scatter_diagonal")
}
