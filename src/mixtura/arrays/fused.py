r"""One EM step of a mixture in few columns as one compiled loop: no array leaves the cache.

For a tile of rows, held column by column so that rows are the lanes of vector instructions,

    ℓₖ = Σ_f Θₖ_f φ_f(x),   rₖ = exp(ℓₖ − s) / Σₗ exp(ℓₗ − s),   Mₖ_f += Σ r φ_f(x),

with the features φ = (uₗₑ u₍ᵣᵢ₎ …, x, 1) of a moment kind as products of two columns. s is near the
largest ℓ: ½ (a + b + |a − b|), folded over the components, is a maximum to rounding, and takes
three vector instructions. The exponential is a polynomial on |r| ≤ ½ log 2 and a shift of the
exponent (Cody & Waite 1980); its relative error is below 2e-7 in float32 and 4e-16 in float64.
The reference is ``Quadratic`` with ``normalise``: two matrix products and NumPy's exponential.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["TILE", "expectation", "exponential"]

#: Rows of a tile: lanes of the inner loops.
TILE = 256
#: Features that one pass over a tile takes together.
STRIDE = 3
#: Sums may be reordered; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}
#: Rows whose logarithms are taken of their product.
RUN = 16


def _same_bits(of: Any, to: Any, real: Any) -> Any:
    """An intrinsic that reads the bits of an integer as a floating point number."""

    def typed(context: Any, bits: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], real)

        return to(of), generate

    return intrinsic(typed)


_as_float32 = _same_bits(types.int32, types.float32, ir.FloatType())
_as_float64 = _same_bits(types.int64, types.float64, ir.DoubleType())


@jit(fastmath={"contract"})
def _exp32(x: Any) -> Any:
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    i = np.int32(x * np.float32(1.4426950408889634) - np.float32(0.5))  # nearest, as x ≤ 0
    n = np.float32(i)
    r = x - n * np.float32(0.693359375)
    r = r - n * np.float32(-2.12194440e-4)  # log 2 in two parts
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r * r + r + np.float32(1)
    return p * _as_float32(np.int32((i + np.int32(127)) << np.int32(23)))


@jit(fastmath={"contract"})
def _exp64(x: Any) -> Any:
    x = -700.0 if x < -700.0 else x
    i = np.int32(x * 1.4426950408889634 - 0.5)
    n = np.float64(i)
    r = x - n * 6.93145751953125e-1
    r = r - n * 1.42860682030941723212e-6
    p = 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    return p * _as_float64((np.int64(i) + np.int64(1023)) << np.int64(52))


def _exp(x: Any) -> Any:
    """exp(x) for x ≤ 0 up to rounding, in the type of x."""
    raise NotImplementedError


@overload(_exp)
def _typed_exp(x: Any) -> Any:
    def single(x: Any) -> Any:
        return _exp32(x)

    def double(x: Any) -> Any:
        return _exp64(x)

    return single if x == types.float32 else double


@jit
def exponential(x: FloatArray, out: FloatArray) -> None:
    """exp(x) of a vector of numbers ≤ 0; below −87 in float32 (−700 in float64), exp of that."""
    for t in range(len(x)):
        out[t] = _exp(x[t])


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
                out[t] = _exp(out[t] - shift[t])
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
