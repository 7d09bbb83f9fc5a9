"""Lists of candidates, refreshed list by list: in the order of shares, and filled up by draws.

Every list has few places, so that insertion beats any other sort, and a look along the list any
other way to tell whether a number is in it. The reference is ``lists_plain``.
This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

from mixtura.arrays.compiled import jit
from mixtura.typing import FloatArray

__all__ = ["SIGNATURES", "ranked", "refilled"]


@jit
def ranked(lists: FloatArray, shares: FloatArray, low: int, high: int, out: FloatArray) -> None:
    """See ``lists_plain.ranked``."""
    for j in range(low, high):
        out[j, 0] = lists[j, 0]
        for i in range(1, lists.shape[1]):
            one, share, to = lists[j, i], shares[j, i], i
            while to > 1 and shares[j, to - 1] < share:
                out[j, to], shares[j, to] = out[j, to - 1], shares[j, to - 1]
                to -= 1
            out[j, to], shares[j, to] = one, share


@jit
def refilled(
    lists: FloatArray, kept: FloatArray, drawn: FloatArray, low: int, high: int, out: FloatArray
) -> None:
    """See ``lists_plain.refilled``."""
    width = lists.shape[1]
    for j in range(low, high):
        size = kept[j]
        for i in range(size):
            out[j, i] = lists[j, i]
        for i in range(drawn.shape[1]):
            one, new = drawn[j, i], size < width
            for other in range(width):
                new &= lists[j, other] != one
            for other in range(kept[j], size):
                new &= out[j, other] != one
            if new:
                out[j, size] = one
                size += 1
        for i in range(size, width):
            out[j, i] = lists[j, i - size + kept[j]]


SIGNATURES = {
    "ranked": ["void(i4[:, ::1], f8[:, ::1], i8, i8, i4[:, ::1])"],
    "refilled": ["void(i4[:, ::1], i8[::1], i4[:, ::1], i8, i8, i4[:, ::1])"],
}
