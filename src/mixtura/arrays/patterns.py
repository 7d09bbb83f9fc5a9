r"""Compiled kernels for rows in groups that were measured alike, such as those with equal gaps.

In a group, y = B ξ + m + e with ξ ~ N(0, I), x = μ + F ξ, B = A F, and the rows of B, m and of the
noise picked by what was observed. With T = B Bᵀ + S = L Lᵀ, z = L⁻¹ (y − m) and W = L⁻¹ B,

    log N(y; m, T) = −½ (‖z‖² + log|T| + p log 2π),    E[ξ | y] = Wᵀ z,    Cov[ξ | y] = I − Wᵀ W,

so that with responsibilities r and N = Σ r a group adds Wᵀ Σ r z and Wᵀ (Σ r z zᵀ − N I) W + N I to
the moments of ξ (Ghahramani & Jordan 1994). L and W are made once for a group and a component; rows
lie along the innermost loops. Coordinates of ξ keep the digits of nearly singular components.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = [
    "SIGNATURES",
    "group_centres",
    "group_expectation",
    "group_log_density",
    "group_moments",
]

LOG_2PI = float(np.log(2 * np.pi))
#: Rows in a tile, which stays in the nearest cache.
TILE = 64
#: Pivots of which four can be multiplied.
TINY, VAST = 1e-70, 1e70
#: Sums may be taken in any order; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


@jit
def _observed(variance: FloatArray, index: FloatArray) -> int:
    """Write the positions of what was observed, and return how many there are."""
    count = 0
    for i in range(len(variance)):
        if variance[i] < np.inf:
            index[count] = i
            count += 1
    return count


@jit(fastmath=FAST)
def _factor(
    sigma: FloatArray,
    variance: FloatArray,
    index: FloatArray,
    count: int,
    factor: FloatArray,
    inverse: FloatArray,
) -> float:
    """Factor T (count, count) in place, with inverses of its diagonal; log|T|, or NaN."""
    logdet, product = 0.0, 1.0
    for i in range(count):
        for j in range(i + 1):
            value = sigma[index[i], index[j]]
            if i == j:
                value += variance[index[i]]
            for c in range(j):
                value -= factor[i, c] * factor[j, c]
            if i > j:
                factor[i, j] = value * inverse[j]
            else:
                if not value > 0:
                    return np.nan
                if TINY < value < VAST:
                    product *= value
                else:  # four of these could pass the range of float64
                    logdet += np.log(value)
                factor[i, i] = np.sqrt(value)
                inverse[i] = 1.0 / factor[i, i]
        if i % 4 == 3:  # few logarithms, and no product that overflows
            logdet += np.log(product)
            product = 1.0
    return float(logdet + np.log(product))


@jit(fastmath=FAST)
def _gather(
    y: FloatArray, low: int, high: int, index: FloatArray, count: int, cells: FloatArray
) -> None:
    """Observed cells of rows low … high − 1, a row of ``cells`` for each column."""
    for t in range(low, high):
        for i in range(count):
            cells[i, t - low] = y[t, index[i]]


@jit(fastmath=FAST)
def _whiten(
    cells: FloatArray,
    start: int,
    width: int,
    mean: FloatArray,
    index: FloatArray,
    count: int,
    factor: FloatArray,
    inverse: FloatArray,
    z: FloatArray,
) -> None:
    """z = L⁻¹ (y − m) of a tile, a column for each row."""
    for i in range(count):
        centre = mean[index[i]]
        for t in range(width):
            z[i, t] = cells[i, start + t] - centre
        for j in range(i):
            scale = factor[i, j]
            for t in range(width):
                z[i, t] -= scale * z[j, t]
        scale = inverse[i]
        for t in range(width):
            z[i, t] *= scale


@jit(fastmath=FAST)
def _loadings(
    base: FloatArray,
    index: FloatArray,
    count: int,
    factor: FloatArray,
    inverse: FloatArray,
    w: FloatArray,
) -> None:
    """W = L⁻¹ B (count, d)."""
    d = base.shape[1]
    for i in range(count):
        for c in range(d):
            w[i, c] = base[index[i], c]
        for j in range(i):
            scale = factor[i, j]
            for c in range(d):
                w[i, c] -= scale * w[j, c]
        scale = inverse[i]
        for c in range(d):
            w[i, c] *= scale


@jit
def _longest(starts: FloatArray) -> int:
    longest = 1
    for a in range(len(starts) - 1):
        longest = max(longest, starts[a + 1] - starts[a])
    return longest


@jit(fastmath=FAST)
def group_log_density(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    out: FloatArray,
) -> int:
    """Log N(y; m, T) of rows (b, p) for all components, written to ``out`` (k, b).

    Parameters
    ----------
    starts : array (g + 1,) of int
        Where each group begins.
    variance : array (g, p)
        Noise of each group's cells beside what ``sigma`` has; infinite where missing.
    means : array (k, p)
    sigma : array (k, p, p)

    Returns
    -------
    int
        −1, or the component whose T is not positive definite.
    """
    p, k = y.shape[1], means.shape[0]
    index = np.empty(p, dtype=np.int64)
    cells, z = np.empty((p, _longest(starts))), np.empty((p, TILE))
    factor, inverse, delta = np.empty((p, p)), np.empty(p), np.empty(TILE)
    for a in range(len(starts) - 1):
        low, n = starts[a], starts[a + 1] - starts[a]
        count = _observed(variance[a], index)
        _gather(y, low, low + n, index, count, cells)
        for j in range(k):
            logdet = _factor(sigma[j], variance[a], index, count, factor, inverse)
            if np.isnan(logdet):
                return j
            const = -0.5 * (logdet + count * LOG_2PI)
            for start in range(0, n, TILE):
                width = min(TILE, n - start)
                _whiten(cells, start, width, means[j], index, count, factor, inverse, z)
                for t in range(width):
                    delta[t] = 0.0
                for i in range(count):
                    for t in range(width):
                        delta[t] += z[i, t] * z[i, t]
                for t in range(width):
                    out[j, low + start + t] = const - 0.5 * delta[t]
    return -1


@jit(fastmath=FAST)
def group_moments(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> int:
    """Add Σ r E[ξ] to ``first`` (k, d) and Σ r E[ξ ξᵀ] to ``second`` (k, d, d).

    Parameters as of ``group_log_density``; ``base`` is B (k, p, d), ``resp`` (k, b).
    """
    p, k, d = y.shape[1], means.shape[0], base.shape[2]
    index = np.empty(p, dtype=np.int64)
    cells, z = np.empty((p, _longest(starts))), np.empty((p, TILE))
    factor, inverse, w = np.empty((p, p)), np.empty(p), np.empty((p, d))
    r, rz = np.empty(TILE), np.empty(TILE)
    h, outer, row = np.empty(p), np.empty((p, p)), np.empty(d)
    for a in range(len(starts) - 1):
        low, n = starts[a], starts[a + 1] - starts[a]
        count = _observed(variance[a], index)
        _gather(y, low, low + n, index, count, cells)
        for j in range(k):
            if np.isnan(_factor(sigma[j], variance[a], index, count, factor, inverse)):
                return j
            mass = 0.0
            for i in range(count):
                h[i] = 0.0
                for c in range(i + 1):
                    outer[i, c] = 0.0
            for start in range(0, n, TILE):
                width = min(TILE, n - start)
                _whiten(cells, start, width, means[j], index, count, factor, inverse, z)
                for t in range(width):
                    r[t] = resp[j, low + start + t]
                    mass += r[t]
                for i in range(count):
                    total = 0.0
                    for t in range(width):
                        rz[t] = r[t] * z[i, t]
                        total += rz[t]
                    h[i] += total
                    for c in range(i + 1):
                        total = 0.0
                        for t in range(width):
                            total += rz[t] * z[c, t]
                        outer[i, c] += total
            _loadings(base[j], index, count, factor, inverse, w)
            for i in range(count):
                outer[i, i] -= mass
                for c in range(i):
                    outer[c, i] = outer[i, c]
            for i in range(count):
                for c in range(d):
                    row[c] = 0.0
                for e in range(count):
                    scale = outer[i, e]
                    for c in range(d):
                        row[c] += scale * w[e, c]
                for e in range(d):
                    scale = w[i, e]
                    first[j, e] += scale * h[i]
                    for c in range(d):
                        second[j, e, c] += scale * row[c]
            for c in range(d):
                second[j, c, c] += mass
    return -1


@jit(fastmath=FAST)
def group_centres(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """E[ξ | y] of each row for the first component, written to ``out`` (b, d)."""
    p, d = y.shape[1], base.shape[2]
    index = np.empty(p, dtype=np.int64)
    cells, z = np.empty((p, _longest(starts))), np.empty((p, TILE))
    factor, inverse, w = np.empty((p, p)), np.empty(p), np.empty((p, d))
    for a in range(len(starts) - 1):
        low, n = starts[a], starts[a + 1] - starts[a]
        count = _observed(variance[a], index)
        _gather(y, low, low + n, index, count, cells)
        if np.isnan(_factor(sigma[0], variance[a], index, count, factor, inverse)):
            return 0
        _loadings(base[0], index, count, factor, inverse, w)
        for start in range(0, n, TILE):
            width = min(TILE, n - start)
            _whiten(cells, start, width, means[0], index, count, factor, inverse, z)
            for t in range(width):
                for c in range(d):
                    total = 0.0
                    for i in range(count):
                        total += w[i, c] * z[i, t]
                    out[low + start + t, c] = total
    return -1


@jit(fastmath=FAST)
def group_expectation(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    out: FloatArray,
) -> int:
    """Add Σₖ r E[x | y, k] to ``out`` (b, d) where cells are missing; y is x with gaps."""
    p, k, d = y.shape[1], means.shape[0], base.shape[2]
    index = np.empty(p, dtype=np.int64)
    cells, z = np.empty((p, _longest(starts))), np.empty((p, TILE))
    factor, inverse, w = np.empty((p, p)), np.empty(p), np.empty((p, d))
    gain, total = np.empty((p, p)), np.empty(TILE)
    for a in range(len(starts) - 1):
        low, n = starts[a], starts[a + 1] - starts[a]
        count = _observed(variance[a], index)
        if count == p:
            continue
        _gather(y, low, low + n, index, count, cells)
        for j in range(k):
            if np.isnan(_factor(sigma[j], variance[a], index, count, factor, inverse)):
                return j
            _loadings(base[j], index, count, factor, inverse, w)
            for i in range(p):
                for c in range(count):
                    gain[i, c] = 0.0
                    for e in range(i + 1):
                        gain[i, c] += base[j, i, e] * w[c, e]
            for start in range(0, n, TILE):
                width = min(TILE, n - start)
                _whiten(cells, start, width, means[j], index, count, factor, inverse, z)
                for i in range(p):
                    if variance[a, i] < np.inf:
                        continue
                    for t in range(width):
                        total[t] = means[j, i]
                    for c in range(count):
                        scale = gain[i, c]
                        for t in range(width):
                            total[t] += scale * z[c, t]
                    for t in range(width):
                        out[low + start + t, i] += resp[j, low + start + t] * total[t]
    return -1


_TABLE, _STACK = "f8[:, ::1]", "f8[:, :, ::1]"
_GROUPS = f"{_TABLE}, i8[::1], {_TABLE}, {_TABLE}, {_STACK}"  # y, starts, variance, means, sigma
#: What ``compiled.warm`` compiles.
SIGNATURES = {
    "group_log_density": [f"i8({_GROUPS}, {_TABLE})"],
    "group_moments": [f"i8({_GROUPS}, {_STACK}, {_TABLE}, {_TABLE}, {_STACK})"],
    "group_centres": [f"i8({_GROUPS}, {_STACK}, {_TABLE})"],
    "group_expectation": [f"i8({_GROUPS}, {_STACK}, {_TABLE}, {_TABLE})"],
}
