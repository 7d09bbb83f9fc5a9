"""Rows: the one value in which data travel from a door through engines to a model.

Later kinds of data (regression targets, measurement noise, labels) are fields of this value, so
that no function between the door and the kernel changes its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources import gaps
from mixtura.typing import FloatArray

__all__ = ["TOO_FAR", "Rows", "as_rows", "as_weights", "balanced"]

#: Size beyond which float32 rows become float64: squares and their sums would overflow.
TOO_FAR = 1e15


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of rows.

    Attributes
    ----------
    x : array (n, d)
        Values; float32 stays float32. NaN where a cell is missing; where ``channel`` has an
        operator, these are the p coordinates of y.
    weight : array (n,), optional
        Non-negative row weights; None means 1 each.
    y : array, optional
        Targets (regressions and experts).
    channel : Measured, optional
        How the rows were measured (noise, missing cells); None where they are whole and exact.
    labels : array (n,), optional
        Known components (semi-supervised fits).
    selection : Selection, optional
        By what rule rows came into the table; None where all did.
    order : array (n,) of int, optional
        Positions of the rows in the caller's table, where they were sorted.
    ground : object, optional
        Where starts may take measured rows to lie; see ``fit.ground``.
    table : int, optional
        Rows of the table that these are a chunk of, by which it is decided how to compute.
    """

    x: FloatArray
    weight: FloatArray | None = None
    y: Any = None
    channel: Any = None
    labels: Any = None
    selection: Any = None
    order: FloatArray | None = None
    ground: Any = None
    table: int | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.x.shape[0])

    @property
    def n_table(self) -> int:
        """Number of rows of the whole table."""
        return self.n if self.table is None else self.table

    @property
    def d(self) -> int:
        """Number of columns, of x and not of what was measured of it."""
        return int(self.x.shape[1]) if self.channel is None else int(self.channel.d)

    @property
    def points(self) -> FloatArray:
        """Whole rows (n, d): x itself, or where starts may take measured rows to lie."""
        return self.x if self.ground is None else self.ground.points

    @property
    def held(self) -> Rows:
        """Rows that are in memory: these, or a sample of a stream's."""
        return self

    @property
    def lightest(self) -> float:
        """The smallest positive weight."""
        return 1.0 if self.weight is None else float(self.weight[self.weight > 0].min())

    @property
    def creeps(self) -> bool:
        """Whether much may be unseen, so that EM's steps are short long before its end."""
        return self.selection is not None or (
            self.channel is not None and bool(self.channel.censored.any())
        )

    @property
    def measured(self) -> bool:
        """Whether rows have gaps or noise, or were selected."""
        return self.channel is not None or self.selection is not None

    @property
    def n_numbers(self) -> float:
        """Numbers that the table holds, weighted as ``n_meant``."""
        share = 1.0 if self.channel is None else float(np.mean(self.channel.n_observed)) / self.d
        return self.n_meant * self.d * share

    @property
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        return self.n if self.weight is None else int(np.count_nonzero(self.weight))

    @property
    def n_meant(self) -> float:
        """Rows that the weights stand for: their sum, and at least the rows that are there."""
        return max(self.total_weight, float(self.n_present))

    @property
    def total_weight(self) -> float:
        """Σ weights, which stands for n in BIC."""
        return float(self.n) if self.weight is None else float(np.sum(self.weight))

    def batch(self, start: int, stop: int) -> Rows:
        """Rows start … stop − 1, in memory order: copied only where the table's is another."""
        return replace(self._cut(slice(start, stop)), table=self.n_table)

    def part(self, i: int, of: int) -> Rows:
        """Row i and every row at a distance of a multiple of ``of``."""
        return self._cut(slice(i, None, of))

    def _cut(self, cut: slice) -> Rows:
        pick = {
            name: value[cut]
            for name in ("weight", "y", "channel", "labels", "selection", "order")
            if (value := getattr(self, name)) is not None
        }
        x = np.ascontiguousarray(self.x[cut])
        return replace(self, x=x, ground=None, table=None, **pick)

    def batches(self, size: int) -> Iterator[Rows]:
        """Consecutive batches of at most ``size`` rows."""
        for start in range(0, self.n, size):
            yield self.batch(start, min(start + size, self.n))

    @property
    def _cells(self) -> FloatArray:
        """Numbers in the columns of x, NaN where a cell is missing: for scales."""
        projected = self.channel is not None and self.channel.operator is not None
        return self.points if projected else self.x

    def mean(self) -> FloatArray:
        """Weighted mean (d,), summed in float64 batch by batch about the first row."""
        if self.channel is not None:
            return gaps.mean(self._cells, self.weight)
        shift = self.x[0].astype(np.float64)
        total = np.zeros(self.d)
        for rows in self.batches(65536):
            centred = rows.x - shift
            total += centred.sum(axis=0) if rows.weight is None else rows.weight @ centred
        return np.asarray(shift + total / self.total_weight)

    def variance(self) -> FloatArray:
        """Weighted variance of each column (d,), two passes, so no cancellation."""
        mean = self.mean()
        if self.channel is not None:
            return gaps.mean((self._cells - mean) ** 2, self.weight)
        total = np.zeros(self.d)
        for rows in self.batches(65536):
            square = (rows.x - mean) ** 2
            total += square.sum(axis=0) if rows.weight is None else rows.weight @ square
        return total / self.total_weight

    def extremes(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest value of each column (d,)."""
        parts = [(rows.x.min(axis=0), rows.x.max(axis=0)) for rows in self.batches(65536)]
        low, high = (np.stack(part).astype(np.float64) for part in zip(*parts, strict=True))
        return low.min(axis=0), high.max(axis=0)

    def robust_scale(self) -> FloatArray:
        """Interquartile range over 1.349 of each column (d,): the standard deviation of the bulk.

        Infinite where half of the weight shares one value. Beyond 100,000 rows a regular
        selection of them is used.
        """
        some = slice(None, None, -(-self.n // 100_000))
        x = self._cells[some]
        weight = np.ones(len(x)) if self.weight is None else self.weight[some]
        return np.array([gaps.robust_scale(x[:, j], weight) for j in range(self.d)])


def balanced(weight: FloatArray | None) -> FloatArray | None:
    """Weights of an ordinary size: those that average under 1e-3 or over 1e9 are only relative.

    They are scaled to average one over the rows that count, as sums and counts in a fit would
    otherwise under- or overflow.
    """
    if weight is None:
        return None
    present = weight[weight > 0]
    top = float(present.max())
    average = float(np.mean(present / top)) * top
    if 1e-3 <= average <= 1e9:
        return weight
    return weight / top / float(np.mean(present / top))


def as_rows(x: FloatArray) -> FloatArray:
    """Rows as they lie; float32 becomes float64 where its squares would overflow."""
    if x.dtype == np.float32 and x.size and max(-float(x.min()), float(x.max())) > TOO_FAR:
        return x.astype(np.float64)
    return x


def as_weights(weight: Any, n: int) -> FloatArray | None:
    """Check row weights: (n,), finite, non-negative, not all zero.

    Raises
    ------
    InputError
    """
    if weight is None:
        return None
    try:
        w = np.asarray(weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("expected numbers as sample_weight; pass a numeric array (n,)") from None
    if w.ndim == 0:
        w = np.full(n, float(w))
    if w.shape != (n,):
        raise InputError(
            f"expected sample_weight of shape ({n},), got {w.shape}; pass one weight per row"
        )
    if not np.isfinite(w).all():
        raise InputError("expected finite sample_weight, got NaN or infinity")
    if (w < 0).any():
        raise InputError(
            f"expected non-negative sample_weight, got {int((w < 0).sum())} negative values; "
            "drop those rows or set their weight to 0"
        )
    if not (w > 0).any():
        raise InputError("expected at least one positive sample_weight, got all zero weights")
    return w
