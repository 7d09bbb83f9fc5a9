"""What a fit must know of rows that are not held: moments, extremes, and a sample, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.moments import Moments
from mixtura.sources.priority import STEP, Priorities
from mixtura.sources.rows import Rows
from mixtura.sources.tables import told
from mixtura.typing import FloatArray

__all__ = ["EmptyRowError", "Gaps", "Summary", "gathered"]


class EmptyRowError(InputError):
    """A row of a stream without any value."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """How many cells are missing.

    Attributes
    ----------
    cells : array (d,) of int
        By column.
    rows : int
        Rows with any.
    """

    cells: FloatArray
    rows: int


@dataclass(frozen=True, eq=False)
class Summary:
    """What one pass says of all rows.

    Attributes
    ----------
    n_present : int
        Rows of positive weight.
    total : float
        Σ weights.
    lightest : float
        The smallest positive weight.
    mean, variance, low, high : array (d,)
        Of the cells that are there; low and high over all rows.
    factor : float
        By which weights are multiplied to be of an ordinary size; the sums above are.
    sample : Rows
        A weighted sample of the rows that count; all of them where they are few.
    gaps : Gaps, optional
        None where no cell is missing.
    """

    n_present: int
    total: float
    lightest: float
    mean: FloatArray
    variance: FloatArray
    low: FloatArray
    high: FloatArray
    factor: float
    sample: Rows
    gaps: Gaps | None = None


def gathered(
    chunks: Iterator[tuple[FloatArray, FloatArray | None]],
    name: str,
    d: int,
    size: int,
    seed: Any,
    columns: tuple[str, ...] | None = None,
) -> Summary:
    """Read all rows once.

    Parameters
    ----------
    chunks : iterator of (array (b, d), array (b,) or None)
    name : str
        What messages call the source.
    d, size : int
        Columns, and rows of the sample.
    seed : int
    columns : tuple of str, optional

    Raises
    ------
    InputError
        For infinite cells, rows and columns without any, and weights that are none.
    """
    some, moments = Priorities(size, d, seed), Moments(d)
    n = present = holed = 0
    total, lightest = 0.0, np.inf
    low, high, holes = np.full(d, np.inf), np.full(d, -np.inf), np.zeros(d, dtype=np.int64)
    weighted = False
    for x, weight in chunks:
        least, most = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
        if np.isinf(least).any() or np.isinf(most).any():
            raise _infinite(x, n, name, columns)
        low, high = np.fmin(low, least), np.fmax(high, most)
        if weight is not None:
            weighted = True
            _check(weight, n, name)
        for start in range(0, len(x), STEP):
            w = None if weight is None else weight[start : start + STEP]
            part = x[start : start + STEP]
            gaps = np.isnan(part)
            some.add(part, w, n + start)
            if gaps.any():
                _check_rows(gaps, w, n + start, name)
                holes += gaps.sum(axis=0)
                holed += int(gaps.any(axis=1).sum())
                moments.add(part, w, gaps)
            else:
                moments.add(part, w)
            total += float(len(part)) if w is None else float(w.sum())
        n += len(x)
        if weight is None:
            present += len(x)
        elif (counted := weight > 0).any():
            present += int(np.count_nonzero(counted))
            lightest = min(lightest, float(weight[counted].min()))
    if not total > 0:
        raise InputError(
            f"expected at least one positive weight in {name}, got all zero weights"
            if n
            else f"expected rows in {name}, got none"
        )
    if not (moments.mass > 0).all():
        bare = [str(columns[j] if columns else j) for j in np.flatnonzero(~(moments.mass > 0))]
        raise InputError(
            f"expected at least one value in every column of {name}, got none in {told(bare)}; "
            "leave such columns out"
        )
    factor = _factor(total, present) if weighted else 1.0
    x, weight = some.kept()
    if len(x) < present:
        weight = weight * (factor * total / weight.sum())  # they sum to those of all rows
        sample = Rows(x, weight)
    else:
        sample = Rows(x, weight * factor if weighted else None)
    lightest = factor * lightest if weighted else 1.0
    return Summary(
        present, factor * total, lightest, moments.mean(), moments.variance(), low, high, factor,
        sample, Gaps(holes, holed) if holed else None,
    )  # fmt: skip


def _factor(total: float, present: int) -> float:
    """As ``rows.balanced``: weights that average under 1e-3 or over 1e9 are only relative."""
    return 1.0 if 1e-3 <= total / present <= 1e9 else present / total


def _check(weight: FloatArray, before: int, name: str) -> None:
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"expected finite non-negative weights in {name}, got {weight[i]:g} in row "
            f"{before + i + 1:,}; drop such rows or set their weight to 0"
        )


def _check_rows(gaps: FloatArray, weight: FloatArray | None, before: int, name: str) -> None:
    empty = gaps.all(axis=1)
    if weight is not None:
        empty &= weight > 0
    if empty.any():
        raise EmptyRowError(
            f"expected at least one value in every row of {name}, got none in row "
            f"{before + int(np.argmax(empty)) + 1:,}; drop such rows, or give them a weight of 0: "
            "they say nothing of the density"
        )


def _infinite(x: FloatArray, before: int, name: str, columns: tuple[str, ...] | None) -> InputError:
    """Which cell is no number."""
    i, j = (int(k) for k in np.argwhere(np.isinf(x))[0])
    return InputError(
        f"expected finite numbers in {name}, got {x[i, j]} in row {before + i + 1:,}, column "
        f"{columns[j] if columns else j}; drop that row or mend it"
    )
