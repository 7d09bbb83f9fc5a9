r"""Compiled kernels for rows each with a noise, and perhaps an operator, of its own.

The equations are those of ``patterns``; here L and W belong to one row and one component, and
eight to sixty-four rows go through every factorisation side by side, as lanes of the innermost
loops. What was not observed is masked: its row of B and its difference are 0, its variance is 1.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.patterns import FAST, LOG_2PI, TINY, VAST
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "row_centres", "row_log_density", "row_moments"]


@jit
def _tile(p: int, d: int) -> int:
    """Rows side by side: few where their matrices are large."""
    return max(8, min(64, 8192 // (p * max(p, d)) // 8 * 8))


@jit(fastmath=FAST)
def _load(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    low: int,
    width: int,
    cells: FloatArray,
    seen: FloatArray,
    s: FloatArray,
    a: FloatArray,
) -> None:
    """Turn a tile around: rows of the table become lanes."""
    p = y.shape[1]
    for t in range(width):
        for i in range(p):
            there = variance[low + t, i] < np.inf
            seen[i, t] = 1.0 if there else 0.0
            cells[i, t] = y[low + t, i] if there else 0.0
            s[i, i, t] = variance[low + t, i] if there else 0.0
    if len(noise) > 0:
        for t in range(width):
            for i in range(p):
                s[i, i, t] += noise[low + t, i, i]
                for j in range(i):
                    s[i, j, t] = noise[low + t, i, j]
    if len(operator) > 0:
        for t in range(width):
            for i in range(p):
                for c in range(operator.shape[2]):
                    a[i, c, t] = operator[low + t, i, c]


@jit(fastmath=FAST)
def _hold(
    cells: FloatArray,
    seen: FloatArray,
    s: FloatArray,
    a: FloatArray,
    dense: bool,
    mean: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    width: int,
    z: FloatArray,
    w: FloatArray,
    t: FloatArray,
) -> None:
    """Differences y − m, B and the lower half of T of a tile, for one component."""
    p, d = cells.shape[0], base.shape[1]
    for i in range(p):
        if a.shape[2] == 0:  # x itself was measured: m, B and B Bᵀ are the component's own
            for c in range(d):
                for lane in range(width):
                    w[i, c, lane] = seen[i, lane] * base[i, c]
            for lane in range(width):
                z[i, lane] = seen[i, lane] * (cells[i, lane] - mean[i])
            for j in range(i + 1):
                for lane in range(width):
                    t[i, j, lane] = seen[i, lane] * seen[j, lane] * sigma[i, j]
        else:
            for lane in range(width):
                z[i, lane] = cells[i, lane]
            for e in range(a.shape[1]):
                for lane in range(width):
                    z[i, lane] -= a[i, e, lane] * mean[e]
            for lane in range(width):
                z[i, lane] *= seen[i, lane]
            for c in range(d):
                for lane in range(width):
                    w[i, c, lane] = 0.0
                for e in range(a.shape[1]):
                    scale = base[e, c]
                    for lane in range(width):
                        w[i, c, lane] += a[i, e, lane] * scale
                for lane in range(width):
                    w[i, c, lane] *= seen[i, lane]
            for j in range(i + 1):
                for lane in range(width):
                    t[i, j, lane] = 0.0
                for c in range(d):
                    for lane in range(width):
                        t[i, j, lane] += w[i, c, lane] * w[j, c, lane]
        for lane in range(width):
            t[i, i, lane] += seen[i, lane] * s[i, i, lane] + (1.0 - seen[i, lane])
        if dense:
            for j in range(i):
                for lane in range(width):
                    t[i, j, lane] += seen[i, lane] * seen[j, lane] * s[i, j, lane]


@jit(fastmath=FAST)
def _factor(
    t: FloatArray, z: FloatArray, width: int, logdet: FloatArray, product: FloatArray
) -> bool:
    """L in the place of T, inverses on its diagonal; L⁻¹ z in the place of z; log|T|."""
    p = z.shape[0]
    for lane in range(width):
        logdet[lane] = 0.0
        product[lane] = 1.0
    for i in range(p):
        for j in range(i):
            for c in range(j):
                for lane in range(width):
                    t[i, j, lane] -= t[i, c, lane] * t[j, c, lane]
            for lane in range(width):
                t[i, j, lane] *= t[j, j, lane]
        for c in range(i):
            for lane in range(width):
                t[i, i, lane] -= t[i, c, lane] * t[i, c, lane]
                z[i, lane] -= t[i, c, lane] * z[c, lane]
        bad, wild = 0, 0
        for lane in range(width):
            value = t[i, i, lane]
            bad += 0 if value > 0 else 1
            wild += 0 if TINY < value < VAST else 1
        for lane in range(width):
            if wild > 0:  # four of these could pass the range of float64
                logdet[lane] += np.log(t[i, i, lane])
            else:
                product[lane] *= t[i, i, lane]
            t[i, i, lane] = 1.0 / np.sqrt(t[i, i, lane])
            z[i, lane] *= t[i, i, lane]
        if bad > 0:
            return False
        if i % 4 == 3 or i == p - 1:
            for lane in range(width):
                logdet[lane] += np.log(product[lane])
                product[lane] = 1.0
    return True


@jit(fastmath=FAST)
def _loadings(t: FloatArray, width: int, lower: bool, w: FloatArray) -> None:
    """W = L⁻¹ B in the place of B; lower triangular where B is."""
    p, d = w.shape[0], w.shape[1]
    for i in range(p):
        span = min(i + 1, d) if lower else d
        for c in range(span):
            for j in range(c if lower else 0, i):
                for lane in range(width):
                    w[i, c, lane] -= t[i, j, lane] * w[j, c, lane]
            for lane in range(width):
                w[i, c, lane] *= t[i, i, lane]


@jit(fastmath=FAST)
def row_log_density(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """Log N(y; A μ, A Σ Aᵀ + S) of rows (b, p) for all components, written to ``out`` (k, b).

    Parameters
    ----------
    variance : array (b, p)
        Of independent noise; infinite where a coordinate is missing.
    noise : array (b, p, p), or (0, p, p)
        Of correlated noise beside it; none if empty.
    operator : array (b, p, d), or (0, p, d)
        A; the identity if empty.
    means : array (k, d)
    sigma, base : array (k, d, d)
        Σ, and a lower triangular F with F Fᵀ = Σ.

    Returns
    -------
    int
        −1, or the component for which a row's covariance is not positive definite.
    """
    b, p = y.shape
    k, d = means.shape
    tile = _tile(p, d)
    cells, seen = np.empty((p, tile)), np.empty((p, tile))
    s, t = np.zeros((p, p, tile)), np.empty((p, p, tile))
    a = np.empty((p, d, tile if len(operator) > 0 else 0))
    z, w = np.empty((p, tile)), np.empty((p, d, tile))
    logdet, product = np.empty(tile), np.empty(tile)
    for low in range(0, b, tile):
        width = min(tile, b - low)
        _load(y, variance, noise, operator, low, width, cells, seen, s, a)
        for j in range(k):
            _hold(cells, seen, s, a, len(noise) > 0, means[j], sigma[j], base[j], width, z, w, t)
            if not _factor(t, z, width, logdet, product):
                return j
            for i in range(p):
                for lane in range(width):
                    logdet[lane] += z[i, lane] * z[i, lane] + seen[i, lane] * LOG_2PI
            for lane in range(width):
                out[j, low + lane] = -0.5 * logdet[lane]
    return -1


@jit(fastmath=FAST)
def row_moments(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> int:
    """Add Σ r E[ξ] to ``first`` (k, d), Σ r E[ξ ξᵀ] to ``second`` (k, d, d); ``resp`` is (k, b)."""
    b, p = y.shape
    k, d = means.shape
    tile, lower = _tile(p, d), len(operator) == 0
    cells, seen = np.empty((p, tile)), np.empty((p, tile))
    s, t = np.zeros((p, p, tile)), np.empty((p, p, tile))
    a = np.empty((p, d, tile if len(operator) > 0 else 0))
    z, w = np.empty((p, tile)), np.empty((p, d, tile))
    logdet, product = np.empty(tile), np.empty(tile)
    xi, r, total = np.empty((d, tile)), np.empty(tile), np.empty(tile)
    for low in range(0, b, tile):
        width = min(tile, b - low)
        _load(y, variance, noise, operator, low, width, cells, seen, s, a)
        for j in range(k):
            _hold(cells, seen, s, a, len(noise) > 0, means[j], sigma[j], base[j], width, z, w, t)
            if not _factor(t, z, width, logdet, product):
                return j
            _loadings(t, width, lower, w)
            mass = 0.0
            for lane in range(width):
                r[lane] = resp[j, low + lane]
                mass += r[lane]
            for c in range(d):
                for lane in range(width):
                    xi[c, lane] = 0.0
                for i in range(c if lower else 0, p):
                    for lane in range(width):
                        xi[c, lane] += w[i, c, lane] * z[i, lane]
                moment = 0.0
                for lane in range(width):
                    moment += r[lane] * xi[c, lane]
                first[j, c] += moment
                for e in range(c + 1):
                    for lane in range(width):
                        total[lane] = xi[c, lane] * xi[e, lane]
                    for i in range(c if lower else 0, p):
                        for lane in range(width):
                            total[lane] -= w[i, c, lane] * w[i, e, lane]
                    moment = 0.0
                    for lane in range(width):
                        moment += r[lane] * total[lane]
                    second[j, c, e] += moment
                    if e < c:
                        second[j, e, c] += moment
                second[j, c, c] += mass
    return -1


@jit(fastmath=FAST)
def row_centres(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """E[ξ | y] of each row for the first component, written to ``out`` (b, d)."""
    b, p = y.shape
    d = means.shape[1]
    tile, lower = _tile(p, d), len(operator) == 0
    cells, seen = np.empty((p, tile)), np.empty((p, tile))
    s, t = np.zeros((p, p, tile)), np.empty((p, p, tile))
    a = np.empty((p, d, tile if len(operator) > 0 else 0))
    z, w = np.empty((p, tile)), np.empty((p, d, tile))
    logdet, product = np.empty(tile), np.empty(tile)
    for low in range(0, b, tile):
        width = min(tile, b - low)
        _load(y, variance, noise, operator, low, width, cells, seen, s, a)
        _hold(cells, seen, s, a, len(noise) > 0, means[0], sigma[0], base[0], width, z, w, t)
        if not _factor(t, z, width, logdet, product):
            return 0
        _loadings(t, width, lower, w)
        for lane in range(width):
            for c in range(d):
                value = 0.0
                for i in range(c if lower else 0, p):
                    value += w[i, c, lane] * z[i, lane]
                out[low + lane, c] = value
    return -1


_TABLE, _STACK = "f8[:, ::1]", "f8[:, :, ::1]"
# y, variance, noise, operator, means, sigma, base
_ROWS = f"{_TABLE}, {_TABLE}, {_STACK}, {_STACK}, {_TABLE}, {_STACK}, {_STACK}"
#: What ``compiled.warm`` compiles.
SIGNATURES = {
    "row_log_density": [f"i8({_ROWS}, {_TABLE})"],
    "row_moments": [f"i8({_ROWS}, {_TABLE}, {_TABLE}, {_STACK})"],
    "row_centres": [f"i8({_ROWS}, {_TABLE})"],
}
