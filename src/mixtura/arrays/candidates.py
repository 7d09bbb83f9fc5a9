r"""Pairs of rows and components that are worth evaluating, found and evaluated by compiled code.

``best`` pairs each row with the component of its largest bound, ``above`` with all others whose
bound passes the row's level, both grouped by component; ``evaluate`` writes the log joints of such
pairs, cₖ − ½ ‖Wₖ (x − μₖ)‖², one matrix product per group. The reference is ``Guarded.one``.

This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["above", "best", "evaluate"]

#: Entries whose largest is looked at before any of them.
BLOCK = 16
#: Rows of a group that are evaluated together.
TILE = 512
#: Numbers may be compared as if none were NaN.
FAST = {"reassoc", "contract", "nsz", "nnan"}


@jit(fastmath=FAST)
def best(joint: FloatArray, component: FloatArray, rows: FloatArray, bounds: FloatArray) -> None:
    """The component of each row's largest entry (b,), and the rows (b,) grouped by it."""
    b, k = joint.shape
    bounds[:] = 0
    for i in range(b):
        row = joint[i]
        top, at = row[0], 0
        for g in range(0, k, BLOCK):
            high = min(g + BLOCK, k)
            block = row[g]
            for j in range(g, high):
                block = max(block, row[j])
            if block > top:
                for j in range(g, high):
                    if row[j] > top:
                        top, at = row[j], j
        component[i] = at
        bounds[at + 1] += 1
    for j in range(k):
        bounds[j + 1] += bounds[j]
    place = bounds.copy()
    for i in range(b):
        rows[place[component[i]]] = i
        place[component[i]] += 1


@jit(fastmath=FAST)
def above(
    joint: FloatArray,
    level: FloatArray,
    known: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
) -> int:
    """Rows whose entries pass their level (b,), grouped by component, but for one known entry each.

    Returns
    -------
    int
        Their number; −1 where they are more than ``rows`` can hold.
    """
    b, k = joint.shape
    component = np.empty(len(rows), dtype=np.int32)
    ends = np.empty(b, dtype=np.int64)
    bounds[:] = 0
    kept = 0
    for i in range(b):
        row = joint[i]
        for g in range(0, k, BLOCK):
            high = min(g + BLOCK, k)
            block = row[g]
            for j in range(g, high):
                block = max(block, row[j])
            if block > level[i]:
                for j in range(g, high):
                    if row[j] > level[i] and j != known[i]:
                        if kept == len(rows):
                            return -1
                        component[kept] = j
                        kept += 1
                        bounds[j + 1] += 1
        ends[i] = kept
    for j in range(k):
        bounds[j + 1] += bounds[j]
    place = bounds.copy()
    p = 0
    for i in range(b):
        while p < ends[i]:
            j = component[p]
            rows[place[j]] = i
            place[j] += 1
            p += 1
    return kept


@jit(fastmath=FAST)
def evaluate(
    x: FloatArray,
    means: FloatArray,
    whiteners: FloatArray,
    const: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    joint: FloatArray,
) -> None:
    """Write the log joints of grouped rows (b, d).

    Parameters
    ----------
    whiteners : array (k, d, d)
        Wₖᵀ, by which differences are multiplied from the right.
    """
    d = x.shape[1]
    apart = np.empty((TILE, d), dtype=x.dtype)
    white = np.empty((TILE, d), dtype=x.dtype)
    half = x.dtype.type(0.5)
    for j in range(len(const)):
        for low in range(bounds[j], bounds[j + 1], TILE):
            width = min(TILE, bounds[j + 1] - low)
            for p in range(width):
                row, out = x[rows[low + p]], apart[p]
                for c in range(d):
                    out[c] = row[c] - means[j, c]
            np.dot(apart[:width], whiteners[j], white[:width])
            for p in range(width):
                z = white[p]
                delta = half - half
                for c in range(d):
                    delta += z[c] * z[c]
                joint[rows[low + p], j] = const[j] - half * delta


def _signatures(real: str) -> dict[str, str]:
    table, vector, groups = f"{real}[:, ::1]", f"{real}[::1]", "i4[::1], i8[::1]"
    return {
        "best": f"void({table}, i4[::1], {groups})",
        "above": f"i8({table}, {vector}, i4[::1], {groups})",
        "evaluate": f"void({table}, {table}, {real}[:, :, ::1], {vector}, {groups}, {table})",
    }


SIGNATURES = {name: {real: _signatures(real)[name] for real in ("f8", "f4")} for name in __all__}
