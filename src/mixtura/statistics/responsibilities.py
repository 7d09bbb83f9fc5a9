"""Responsibilities rₖ = exp(ℓₖ − log Σₗ exp ℓₗ) from log joints ℓ: all, or those that matter.

In a mixture of many components almost all responsibilities of a row are nothing. ``Grouped`` holds
the others, component by component, so that an M-step touches them alone; ``active`` finds the same
in whole arrays, by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mixtura.arrays.compiled import kernel
from mixtura.typing import FloatArray

__all__ = ["CROWDED", "Grouped", "Responsibilities", "active", "grouped", "negligible", "normalise"]

#: Log responsibilities are raised to this: 1e-217 and 1e-26.
NOTHING = {np.dtype(np.float64): -500.0, np.dtype(np.float32): -60.0}
#: Responsibilities below this share of the largest, of a row or of all, are dropped where moments
#: are taken component by component.
NEGLIGIBLE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}
#: Above this share of entries that matter, matrix products beat groups.
CROWDED = 1 / 8


@dataclass(frozen=True, eq=False)
class Grouped:
    """Responsibilities that matter, by component.

    Attributes
    ----------
    rows : array (m,) of int
        Rows of component 0, then of component 1, …
    values : array (m,)
        Their responsibilities, row weights included.
    bounds : array (k + 1,) of int
        Component j has ``rows[bounds[j]:bounds[j + 1]]``.
    n : int
        Rows of the batch.
    """

    rows: FloatArray
    values: FloatArray
    bounds: FloatArray
    n: int

    @property
    def k(self) -> int:
        """Number of components."""
        return len(self.bounds) - 1

    def dense(self) -> FloatArray:
        """All of them (n, k), with zeros."""
        out = np.zeros((self.n, self.k), dtype=self.values.dtype)
        out[self.rows, np.repeat(np.arange(self.k), np.diff(self.bounds))] = self.values
        return out


#: (b, k), or those that matter.
Responsibilities: TypeAlias = FloatArray | Grouped


def normalise(
    log_joint: FloatArray, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Responsibilities (b, k), in the memory of ``log_joint``, and log p(x) (b,), both weighted."""
    top = log_joint.max(axis=1, keepdims=True)
    np.subtract(log_joint, np.where(np.isfinite(top), top, 0), out=log_joint)
    # Below this a responsibility is nothing, but subnormal numbers would slow exp and products.
    np.maximum(log_joint, NOTHING[log_joint.dtype], out=log_joint)
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_joint /= total
        log_norm = (np.log(total) + top)[:, 0]
    if weight is not None:
        log_norm = log_norm * weight
        log_joint *= weight[:, None].astype(log_joint.dtype, copy=False)
    return log_joint, log_norm


def grouped(
    log_joint: FloatArray, weight: FloatArray | None = None
) -> tuple[Responsibilities, FloatArray]:
    """``normalise`` by compiled code, with what matters grouped where that is little."""
    b, k = log_joint.shape
    most = int(CROWDED * b * k) + b
    dtype = log_joint.dtype
    rows, values = np.empty(most, dtype=np.int32), np.empty(most, dtype=dtype)
    bounds, log_norm = np.empty(k + 1, dtype=np.int64), np.empty(b, dtype=dtype)
    each = np.empty(0) if weight is None else np.array(weight, dtype=np.float64)
    cut = dtype.type(-np.log(NEGLIGIBLE[dtype]))
    group = kernel("grouping.group")
    kept = group(log_joint, each, cut, log_norm, rows, values, bounds)
    if kept < 0:
        return normalise(log_joint, weight)
    if weight is not None:
        log_norm = log_norm * weight
    return Grouped(rows[:kept], values[:kept], bounds, b), log_norm


def negligible(resp: FloatArray) -> float:
    """The responsibility up to which rows are left out, in the unit of the weights."""
    return float(NEGLIGIBLE[resp.dtype] * resp.max(initial=0))


def active(resp: FloatArray, least: float) -> Iterator[tuple[int, FloatArray]]:
    """Every component with rows of more than ``least`` responsibility (b, k), and those rows."""
    components, rows = np.nonzero(np.ascontiguousarray((resp > least).T))
    cuts = np.searchsorted(components, np.arange(resp.shape[1] + 1))
    for j in np.flatnonzero(np.diff(cuts)):
        yield int(j), rows[cuts[j] : cuts[j + 1]]
