r"""The exponential of numbers ≤ 0 for compiled kernels: no branch, no call, so that loops over it
become vector instructions.

exp x = 2ⁿ exp r with n = round(x / log 2) and |r| ≤ ½ log 2 (Cody & Waite 1980): log 2 is taken off
in two parts, the first of few digits, exp r is Taylor's polynomial, and 2ⁿ is put into the bits of
the exponent. In float64, adding 1.5 · 2⁵² rounds x / log 2 and leaves n in the low bits. The
relative error is below 2e-7 in float32 and 4e-16 in float64.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["exp", "exponential"]


def _same_bits(of: Any, to: Any, real: Any) -> Any:
    """An intrinsic that reads the bits of a number as another's, ``real`` in LLVM's types."""

    def typed(context: Any, bits: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], real)

        return to(of), generate

    return intrinsic(typed)


_as_float32 = _same_bits(types.int32, types.float32, ir.FloatType())
_as_float64 = _same_bits(types.int64, types.float64, ir.DoubleType())
_as_int64 = _same_bits(types.float64, types.int64, ir.IntType(64))


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
    rounded = x * 1.4426950408889634 + 6755399441055744.0
    n = rounded - 6755399441055744.0
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
    return p * _as_float64((_as_int64(rounded) + np.int64(1023)) << np.int64(52))


def exp(x: Any) -> Any:
    """exp(x) for x ≤ 0 up to rounding, in the type of x, within other kernels; NaN has no value."""
    raise AssertionError("compiled code alone may call this")


@overload(exp)
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
        out[t] = exp(x[t])
