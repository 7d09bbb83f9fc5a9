"""Summaries of columns that may have gaps: over the cells that are there."""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["mean", "robust_scale"]

CHUNK = 65_536


def mean(x: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Weighted mean of the cells of each column that are not NaN: (d,).

    NaN where a column has none of positive weight.
    """
    shift = np.zeros(x.shape[1])
    for j in range(x.shape[1]):  # about the first cell that is there
        here = ~np.isnan(x[:, j])
        shift[j] = x[np.argmax(here), j] if here.any() else 0.0
    total, mass = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for low in range(0, len(x), CHUNK):
        part = x[low : low + CHUNK] - shift
        here = ~np.isnan(part)
        part = np.where(here, part, 0.0)
        w = np.ones(len(part)) if weight is None else weight[low : low + CHUNK]
        total += w @ part
        mass += w @ here
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(shift + total / mass)


def robust_scale(column: FloatArray, weight: FloatArray) -> float:
    """Interquartile range over 1.349 of the cells that are there; infinite where it is zero."""
    here = ~np.isnan(column)
    if not here.all():
        column, weight = column[here], weight[here]
    if len(column) == 0:
        return float(np.inf)
    order = np.argsort(column, kind="stable")
    below = np.cumsum(weight[order])
    low, high = np.searchsorted(below, np.array([0.25, 0.75]) * below[-1])
    last = len(column) - 1
    spread = float(column[order[min(high, last)]]) - float(column[order[min(low, last)]])
    return spread / 1.349 if spread > 0 else float(np.inf)
