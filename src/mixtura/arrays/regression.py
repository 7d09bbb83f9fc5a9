r"""Means of regressions that are mixed by gates: Σₖ rₖ (aₖ + xᵀ Bₖ), over the gates that matter.

Few components explain a row, so that most products of ``regression_plain`` are with nothing.
This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays import regression_plain
from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "mixed"]

#: Numbers of a slope up to which one loop is always quicker than products of whole arrays, share of
#: gates that matter up to which it is so beyond, and rows of such products.
SMALL, CROWDED, ROWS = 256, 0.25, 512
#: Sums may be reordered.
FAST = {"reassoc", "contract", "nsz"}


def mixed(
    gates: FloatArray,
    x: FloatArray,
    start: FloatArray,
    slopes: FloatArray,
    least: float,
    out: FloatArray,
) -> None:
    """See ``regression_plain.mixed``."""
    share = 1.0 if slopes[0].size <= SMALL else CROWDED
    if _mixed(gates, x, start, slopes, least, int(share * gates.size), out):
        return
    for low in range(0, len(x), ROWS):
        part = slice(low, low + ROWS)
        regression_plain.mixed(gates[part], x[part], start, slopes, least, out[part])


@jit(fastmath=FAST)
def _mixed(
    gates: FloatArray,
    x: FloatArray,
    start: FloatArray,
    slopes: FloatArray,
    least: float,
    most: int,
    out: FloatArray,
) -> bool:
    """The means (b, m), or False where more than ``most`` gates matter."""
    k, g, m = slopes.shape
    mean, scaled = np.empty(m), np.zeros(-(-g // 4) * 4)
    used = np.empty(k, dtype=np.uint32)
    spent: Any = 0
    for i in range(len(gates)):
        mean[:] = 0
        many = np.uint64(0)
        for j in range(k):
            used[many] = j
            many += np.uint64(gates[i, j] > least)
        spent += np.int64(many)
        if spent > most:
            return False
        for h in range(many):
            j = used[h]
            r = gates[i, j]
            for c in range(m):
                mean[c] += r * start[j, c]
            for a in range(g):
                scaled[a] = r * x[i, a]
            for a in range(0, g - g % 4, 4):
                u0, u1, u2, u3 = scaled[a], scaled[a + 1], scaled[a + 2], scaled[a + 3]
                for c in range(m):
                    mean[c] += (
                        u0 * slopes[j, a, c]
                        + u1 * slopes[j, a + 1, c]
                        + u2 * slopes[j, a + 2, c]
                        + u3 * slopes[j, a + 3, c]
                    )
            for a in range(g - g % 4, g):
                for c in range(m):
                    mean[c] += scaled[a] * slopes[j, a, c]
        for c in range(m):
            out[i, c] = mean[c]
    return True


SIGNATURES = {
    "_mixed": ["b1(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, :, ::1], f8, i8, f8[:, ::1])"]
}
