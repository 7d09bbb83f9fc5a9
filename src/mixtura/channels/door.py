"""From a table with gaps, and its noise, to the value that says how its rows were measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mixtura.channels.censored import Censored
from mixtura.channels.grouped import Grouped
from mixtura.channels.limits import as_limits
from mixtura.channels.measured import Measured
from mixtura.channels.noises import as_noise, as_operators
from mixtura.channels.rowwise import Rowwise
from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["Arrival", "measured"]

#: Rows are taken in groups where there are at most so many groups per row.
MOST_GROUPS = 0.5


class Arrival(NamedTuple):
    """A channel, and the order in which it wants the rows."""

    channel: Measured
    #: Positions (n,) in the caller's table of the rows in order; None where that is as they came.
    order: FloatArray | None

    def sorted(self, values: Any) -> Any:
        """An array (n, …) of the caller's in the channel's order."""
        return values if self.order is None or values is None else values[self.order]

    def returned(self, values: FloatArray) -> FloatArray:
        """Answers (n, …) in the channel's order, given back in the caller's."""
        if self.order is None:
            return values
        out = np.empty_like(values)
        out[self.order] = values
        return out


def measured(
    x: FloatArray,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
    *,
    d: int | None = None,
) -> Arrival | None:
    """How the rows of a table were measured; None where they are whole and exact.

    Parameters
    ----------
    x : array (n, p)
        NaN where a cell is missing.
    noise : number or array, optional
        Variances: a number, (p,), (n, p), (p, p) or (n, p, p). Where n = p, a square array is read
        as (n, p). Infinity stands for a missing cell.
    operators : array (p, d) or (n, p, d), optional
        A of y = A x + e, where the rows of the table are y.
    censored : pair (lower, upper), optional
        Limits of detection, each None, a number, (p,) or (n, p): of a cell at or beyond its limit
        no more is known than that.
    d : int, optional
        Columns that x must have.

    Raises
    ------
    InputError
        For noise that is negative, NaN, asymmetric, indefinite or of another shape, for operators
        of another shape, for limits that are not in order, and for limits beside operators or
        correlated noise.
    """
    n, p = x.shape
    missing = np.isnan(x)
    a = as_operators(operators, n, p)
    columns = p if a is None else int(a.shape[-1])
    if d is not None and columns != d:
        raise InputError(
            f"expected {'X' if a is None else 'operators'} with {d} columns, as the mixture has, "
            f"got {columns}"
        )
    variance, covariance = as_noise(noise, missing)
    quiet = (variance is None or not variance.any()) and (
        covariance is None or not covariance.any()
    )
    beyond = None if censored is None else _intervals(x, censored)
    if beyond is not None and (a is not None or covariance is not None):
        raise InputError(
            "expected censored cells with independent noise alone, got them with "
            f"{'operators' if a is not None else 'correlated noise'}; pass noise as variances of "
            f"shape ({p},) or ({n}, {p})"
        )
    if a is None and quiet and beyond is None and not missing.any():
        return None
    each = np.zeros((n, p)) if variance is None else np.broadcast_to(variance, (n, p))
    each = np.where(missing, np.inf, each)
    if beyond is not None:
        return _censored(each, *beyond)
    if (a is None or a.ndim == 2) and (covariance is None or covariance.ndim == 2):
        first, group = _groups(each)
        if len(first) <= max(1, MOST_GROUPS * n):
            order = None if (np.diff(group) >= 0).all() else np.argsort(group, kind="stable")
            group = group if order is None else group[order]
            return Arrival(Grouped(each[first], group, columns, covariance, a), order)
    if covariance is not None:
        covariance = np.broadcast_to(covariance, (n, p, p))
        covariance = np.where(missing[:, :, None] | missing[:, None, :], 0.0, covariance)
    if a is not None:
        a = np.broadcast_to(a, (n, *a.shape[-2:]))
    return Arrival(Rowwise(each, columns, covariance, a), None)


def _intervals(x: FloatArray, censored: Any) -> tuple[FloatArray, FloatArray] | None:
    """Where censored cells are known to lie, −inf to inf for others; None where there are none."""
    low, high = as_limits(censored, x.shape[0], x.shape[1], "censored", x.dtype)
    below, above = x <= low, x >= high  # NaN is neither
    if not (below.any() or above.any()):
        return None
    return np.where(above, high, -np.inf), np.where(below, low, np.inf)


def _censored(each: FloatArray, lower: FloatArray, upper: FloatArray) -> Arrival:
    """Rows with censored cells, sorted so that those censored alike lie together."""
    n, d = each.shape
    cells = np.isfinite(lower) | np.isfinite(upper)
    cells &= np.isfinite(each)  # an infinite variance: missing
    lower, upper = np.where(cells, lower, -np.inf), np.where(cells, upper, np.inf)
    first, group = _groups(np.hstack([each, cells]))
    alike = len(first) <= max(1, MOST_GROUPS * n)
    if not alike:
        first, group = _groups(np.hstack([np.isinf(each), cells]).astype(np.float64))
    order = np.argsort(group, kind="stable")
    each, lower, upper, group = each[order], lower[order], upper[order], group[order]
    hidden = np.where(cells[order], np.inf, each)
    if alike:
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        seen: Measured = Grouped(hidden[starts], group, d)
    else:
        seen = Rowwise(hidden, d)
    return Arrival(Censored(seen, each, lower, upper, group, alike, d), order)


def _groups(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A row of each set of equal ones, and the set of each row, sets in order of appearance."""
    key = np.zeros(len(values), dtype=np.uint64)
    for column in (np.ascontiguousarray(values) + 0.0).view(np.uint64).T:  # −0 becomes 0
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]
