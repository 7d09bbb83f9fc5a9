r"""Compiled kernels that end a score: log Σₖ exp aₖ of rows a, and exp(aₖ) / Σ exp(a).

Most of a score's time goes to exponentials, here made by the lane: with v = a − max a and
n = round(v / log 2), exp v = 2ⁿ exp r, |r| ≤ log 2 / 2, and exp r is Taylor's polynomial of degree
12, whose error is below 2e-16. Adding 1.5 · 2⁵² rounds v / log 2 and leaves n in the low bits.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "log_total", "shares"]

#: Exponents are raised to this: e⁻⁷⁰⁰ is nothing beside 1.
LEAST = -700.0
INVERSE_LOG_2, ROUNDER = 1.4426950408889634, 6755399441055744.0
#: log 2 in two parts, the first of few digits.
LOG_2_HIGH, LOG_2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
SUMS = {"reassoc", "contract", "nsz", "nnan"}


@jit(fastmath={"contract"})  # in the order written: (v + c) − c is meant
def _split(row: FloatArray, top: float, turns: FloatArray, values: FloatArray) -> None:
    """exp r in ``values``; in the low bits of ``turns``, n."""
    for c in range(len(row)):
        v = row[c] - top
        v = v if v > LEAST else LEAST
        rounded = v * INVERSE_LOG_2 + ROUNDER
        turns[c] = rounded
        n = rounded - ROUNDER
        r = v - n * LOG_2_HIGH - n * LOG_2_LOW
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
        p = p * r + 1.0
        values[c] = p * r + 1.0


@jit(fastmath=SUMS)
def _top(row: FloatArray) -> float:
    top = row[0]
    for c in range(1, len(row)):
        top = max(top, row[c])
    return float(top)


@jit(fastmath=SUMS)
def _joined(bits: FloatArray, turns: FloatArray, values: FloatArray) -> float:
    """2ⁿ exp r in the place of exp r, and their sum; ``bits`` are those of ``turns``."""
    total = 0.0
    for c in range(len(bits)):
        bits[c] = (bits[c] + 1023) << 52
    for c in range(len(bits)):
        values[c] *= turns[c]
        total += values[c]
    return total


@jit
def log_total(joint: FloatArray, out: FloatArray) -> None:
    """Write log Σₖ exp a of rows a (b, k) to ``out`` (b,); a row has a finite number in it."""
    b, k = joint.shape
    turns, values = np.empty(k), np.empty(k)
    bits = turns.view(np.int64)
    for i in range(b):
        top = _top(joint[i])
        _split(joint[i], top, turns, values)
        out[i] = top + np.log(_joined(bits, turns, values))


@jit
def shares(joint: FloatArray) -> None:
    """Put exp(a) / Σ exp(a) in the place of rows a (b, k)."""
    b, k = joint.shape
    turns, values = np.empty(k), np.empty(k)
    bits = turns.view(np.int64)
    for i in range(b):
        _split(joint[i], _top(joint[i]), turns, values)
        total = _joined(bits, turns, values)
        for c in range(k):
            joint[i, c] = values[c] / total


#: What ``compiled.warm`` compiles.
SIGNATURES = {"log_total": ["void(f8[:, ::1], f8[::1])"], "shares": ["void(f8[:, ::1])"]}
