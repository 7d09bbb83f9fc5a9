r"""One EM step of a mixture in few columns as one compiled loop: no array leaves the cache.

For a tile of rows, held column by column so that rows are the lanes of vector instructions,

    ℓₖ = Σ_f Θₖ_f φ_f(x),   rₖ = exp(ℓₖ − s) / Σₗ exp(ℓₗ − s),   Mₖ_f += Σ r φ_f(x),

with the features φ = (uₗₑ u₍ᵣᵢ₎ …, x, 1) of a moment kind as products of two columns. s is near the
largest ℓ: ½ (a + b + |a − b|), folded over the components, is a maximum to rounding, and takes
three vector instructions; the exponential is ``exponential``'s.
The reference is ``Quadratic`` with ``normalise``: two matrix products and NumPy's exponential.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.exponential import exp
from mixtura.typing import FloatArray

__all__ = ["TILE", "expectation"]

#: Rows of a tile: lanes of the inner loops.
TILE = 256
#: Features that one pass over a tile takes together.
STRIDE = 3
#: Sums may be reordered; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}
#: Rows whose logarithms are taken of their product.
RUN = 16


@jit(fastmath=FAST)
def expectation(
    x: FloatArray,
    weight: FloatArray,
    anchor: FloatArray,
    table: FloatArray,
    left: FloatArray,
    right: FloatArray,
    moments: FloatArray,
) -> float:
    """Add the moments of rows (n, d) to ``moments`` (k, f), and return their log-likelihood.

    Parameters
    ----------
    x : array (n, d)
        In any floating type.
    weight : array (n,), or (0,) where rows count once
    anchor : array (d,)
        Origin of the features.
    table : array (k, f)
        Coefficients Θ of the features (Φ, x, 1) in the log joint, f padded with zeros to a
        multiple of three; its type is the type that is computed in.
    left, right : array (q,) of int
        Columns whose products the features Φ are.
    moments : array (k, f) of float64

    Returns
    -------
    float
        Σ weight · log p(x); NaN where a row is beyond the range of the kernel.
    """
    n, d = x.shape
    k, f = table.shape
    q = len(left)
    phi = np.zeros((f, TILE), dtype=table.dtype)
    joint = np.empty((k, TILE), dtype=table.dtype)
    shift = np.empty(TILE, dtype=table.dtype)
    total = np.empty(TILE, dtype=table.dtype)
    half = table.dtype.type(0.5)
    phi[q + d] = 1
    loglik = 0.0
    for low in range(0, n, TILE):
        width = min(TILE, n - low)
        for c in range(d):
            column = phi[q + c]
            for t in range(width):
                column[t] = x[low + t, c] - anchor[c]
            for t in range(width, TILE):
                column[t] = 0
        for i in range(q):
            one, other, product = phi[q + left[i]], phi[q + right[i]], phi[i]
            for t in range(TILE):
                product[t] = one[t] * other[t]
        for j in range(k):
            out, theta = joint[j], table[j]
            for i in range(0, f, STRIDE):
                a, b, c = phi[i], phi[i + 1], phi[i + 2]
                u, v, w = theta[i], theta[i + 1], theta[i + 2]
                if i == 0:
                    for t in range(TILE):
                        out[t] = u * a[t] + v * b[t] + w * c[t]
                else:
                    for t in range(TILE):
                        out[t] += u * a[t] + v * b[t] + w * c[t]
            if j == 0:
                for t in range(TILE):
                    shift[t] = out[t]
            else:
                for t in range(TILE):
                    shift[t] = half * (shift[t] + out[t] + abs(shift[t] - out[t]))
        for t in range(TILE):
            total[t] = 0
        for j in range(k):
            out = joint[j]
            for t in range(TILE):
                out[t] = exp(out[t] - shift[t])
                total[t] += out[t]
        wild = 0
        for t in range(width):
            wild += 0 if half <= total[t] <= 2 * k else 1
        if wild > 0:
            return np.nan
        if len(weight) == 0:
            for t in range(width):
                loglik += shift[t]
            for start in range(0, width, RUN):
                product = 1.0
                for t in range(start, min(width, start + RUN)):
                    product *= total[t]
                loglik += math.log(product)
            for t in range(TILE):
                total[t] = 1 / total[t]
        else:
            for t in range(width):
                loglik += weight[low + t] * (shift[t] + math.log(total[t]))
            for t in range(width):
                total[t] = weight[low + t] / total[t]
        for t in range(width, TILE):
            total[t] = 0
        for j in range(k):
            out, sums = joint[j], moments[j]
            for i in range(0, f, STRIDE):
                a, b, c = phi[i], phi[i + 1], phi[i + 2]
                u, v, w = half - half, half - half, half - half
                for t in range(TILE):
                    r = out[t] * total[t]
                    u += r * a[t]
                    v += r * b[t]
                    w += r * c[t]
                sums[i] += u
                sums[i + 1] += v
                sums[i + 2] += w
    return loglik


SIGNATURES = {
    "expectation": {
        f"{rows} in {real}": f"f8({rows}[:, ::1], f8[::1], f8[::1], {real}[:, ::1], i8[::1], "
        "i8[::1], f8[:, ::1])"
        for rows, real in (("f8", "f8"), ("f8", "f4"), ("f4", "f4"))
    }
}
