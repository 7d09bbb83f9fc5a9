r"""Compiled kernels that end a score: log Σₖ exp aₖ of rows a, exp(aₖ) / Σ exp(a), and the label.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.exponential import exp
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "labels", "log_total", "shares"]

#: Sums may be reordered, and numbers compared as if none were NaN.
SUMS = {"reassoc", "contract", "nsz", "nnan"}


@jit(fastmath=SUMS)
def _top(row: FloatArray) -> float:
    top = row[0]
    for c in range(1, len(row)):
        top = max(top, row[c])
    return float(top)


@jit(fastmath=SUMS)
def _powers(row: FloatArray, top: float, values: FloatArray) -> float:
    """exp(a − max a) in ``values``, and their sum."""
    total = 0.0
    for c in range(len(row)):
        value = exp(row[c] - top)
        values[c] = value
        total += value
    return total


@jit
def log_total(joint: FloatArray, out: FloatArray) -> None:
    """Write log Σₖ exp a of rows a (b, k) to ``out`` (b,); a row has a finite number in it."""
    values = np.empty(joint.shape[1])
    for i in range(len(joint)):
        top = _top(joint[i])
        out[i] = top + math.log(_powers(joint[i], top, values))


@jit(fastmath=SUMS)
def _scaled(values: FloatArray, scale: float, out: FloatArray) -> None:
    for c in range(len(values)):
        out[c] = values[c] * scale


@jit
def shares(joint: FloatArray, out: FloatArray) -> None:
    """Write exp(a) / Σ exp(a) of rows a (b, k) to ``out`` (b, k), which may be ``joint``."""
    values = np.empty(joint.shape[1])  # of their own: what may overlap is not made by the lane
    for i in range(len(joint)):
        total = _powers(joint[i], _top(joint[i]), values)
        _scaled(values, 1 / total, out[i])


@jit
def labels(joint: FloatArray, out: FloatArray) -> None:
    """Write the place of the largest of rows (b, k), the first of equal ones, to ``out`` (b,)."""
    for i in range(len(joint)):
        top, c = _top(joint[i]), 0
        while joint[i, c] < top:
            c += 1
        out[i] = c


#: What ``compiled.warm`` compiles.
SIGNATURES = {
    "log_total": ["void(f8[:, ::1], f8[::1])"],
    "shares": ["void(f8[:, ::1], f8[:, ::1])"],
    "labels": ["void(f8[:, ::1], i8[::1])"],
}
