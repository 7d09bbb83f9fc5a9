"""Nearest centres: argmax over c of ⟨x, c⟩ − ‖c‖² / 2, one matrix product for a batch of rows.

Rows are centred, scaled by their largest deviation, and lifted by a column of ones, so that the
product with (c, −‖c‖² / 2) is the score itself. In single precision a label may be that of another
centre which is as near up to rounding; distances are therefore taken from differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from mixtura.arrays.parallel import map_spans, n_workers, single_threaded_blas
from mixtura.typing import FloatArray

__all__ = ["Cloud", "group_sums", "lifted", "nearest_of", "scores"]

BATCH = 1024
#: Rows × centres up to which one thread serves.
SMALL = 2**22
#: Multiplications up to which BLAS wakes no threads of itself.
TINY = 2**17
#: Rows by which a precision is judged.
JUDGED = 1000


@dataclass(frozen=True, eq=False)
class Cloud:
    """Weighted rows for starts, in the coordinates (x − mean) / scale.

    Attributes
    ----------
    x : array (n, d)
        Finite rows.
    weight : array (n,), optional
        Positive; None means 1 each.
    """

    x: FloatArray
    weight: FloatArray | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.x)

    @cached_property
    def mass(self) -> FloatArray:
        """Weights (n,), ones where none are given."""
        return np.ones(self.n) if self.weight is None else np.asarray(self.weight, np.float64)

    @cached_property
    def mean(self) -> FloatArray:
        """Mean (d,), about the first row."""
        shift = self.x[0].astype(np.float64)
        total = np.zeros(len(shift))
        for low in range(0, self.n, 8192):
            cut = slice(low, low + 8192)
            total += self.mass[cut] @ (self.x[cut] - shift)
        return np.asarray(shift + total / self.mass.sum())

    @cached_property
    def scale(self) -> float:
        """The largest deviation from the mean in any column; 1 where there is none."""
        low, high = self.x.min(axis=0), self.x.max(axis=0)
        size = float(np.maximum(high - self.mean, self.mean - low).max(initial=0.0))
        return size if size > 0 else 1.0

    def points(self, index: Any) -> FloatArray:
        """Some rows in these coordinates, in float64."""
        return np.asarray((self.x[index] - self.mean) / self.scale)

    def take(self, index: FloatArray, weight: FloatArray | None) -> Cloud:
        """Some rows with weights of their own, in the same coordinates."""
        some = Cloud(self.x[index], weight)
        some.__dict__.update(mean=self.mean, scale=self.scale)
        return some

    @cached_property
    def _kept(self) -> dict[Any, FloatArray]:
        return {}

    def lifted(self, dtype: Any) -> FloatArray:
        """All rows in these coordinates with a column of ones (n, d + 1)."""
        if np.dtype(dtype) in self._kept:
            return self._kept[np.dtype(dtype)]
        out = np.empty((self.n, self.x.shape[1] + 1), dtype=dtype)
        out[:, -1] = 1
        mean, scale = self.mean, 1 / self.scale

        def span(start: int, stop: int) -> None:
            for low in range(start, stop, BATCH):
                cut = slice(low, min(low + BATCH, stop))
                centred = self.x[cut] - mean
                np.multiply(centred, scale, out=out[cut, :-1], casting="same_kind")

        map_spans(span, self.n, n_workers() if out.size > SMALL else 1)
        self._kept[out.dtype] = out
        return out

    def precision(self, centres: FloatArray) -> Any:
        """The dtype in which nearest centres are found: float32 where that finds them.

        On some of the rows both precisions are tried. Single is refused where for more than one
        row in a hundred its centre is further than the nearest by more than a hundredth.
        """
        some = np.linspace(0, self.n - 1, min(self.n, JUDGED)).astype(np.int64)
        points = self.points(some)

        def distance(dtype: Any) -> FloatArray:
            diff = points - centres[nearest_of(lifted(points, dtype), centres)]
            return np.asarray(np.einsum("ij,ij->i", diff, diff))

        wrong = np.count_nonzero(distance(np.float32) > 1.02 * distance(np.float64))
        return np.float32 if wrong <= 0.01 * len(some) else np.float64

    def squared(self, centres: FloatArray, labels: FloatArray) -> FloatArray:
        """‖x − c‖² (n,) to the centre of each row's label, from differences in float64."""
        out = np.empty(self.n)

        def span(start: int, stop: int) -> None:
            for low in range(start, stop, BATCH):
                cut = slice(low, min(low + BATCH, stop))
                diff = self.points(cut) - np.take(centres, labels[cut], axis=0)
                np.einsum("ij,ij->i", diff, diff, out=out[cut])

        map_spans(span, self.n, n_workers() if self.x.size > SMALL else 1)
        return out


def lifted(x: FloatArray, dtype: Any) -> FloatArray:
    """Rows (n, d) with a column of ones."""
    return np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(dtype, copy=False)


def nearest_of(rows: FloatArray, centres: FloatArray) -> FloatArray:
    """For lifted rows (n, d + 1) the nearest of centres (m, d), in the precision of the rows."""
    out = np.empty(len(rows), dtype=np.int64)

    def visit(low: int, high: int, score: FloatArray) -> None:
        score.argmax(axis=1, out=out[low:high])

    scores(rows, centres, visit)
    return out


def scores(
    rows: FloatArray, centres: FloatArray, visit: Callable[[int, int, FloatArray], None]
) -> None:
    """Show ``visit`` the scores (b, m) of lifted rows, batch by batch, in threads."""
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    right = np.concatenate([centres, -half[:, None]], axis=1).T.astype(rows.dtype, order="C")
    size = int(np.clip(2**20 // len(centres), 64, 4 * BATCH))

    def span(start: int, stop: int) -> None:
        score = np.empty((min(size, stop - start), len(centres)), dtype=rows.dtype)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            visit(low, high, np.matmul(rows[low:high], right, out=score[: high - low]))

    total = len(rows) * len(centres)
    if total > SMALL:
        map_spans(span, len(rows), n_workers())
    elif total * right.shape[0] < TINY:
        span(0, len(rows))
    else:  # waking BLAS's threads would take longer than the product
        with single_threaded_blas():
            span(0, len(rows))


def group_sums(values: FloatArray, labels: FloatArray, mass: FloatArray, k: int) -> FloatArray:
    """Σ mass · values (k, f) over the rows of each label."""
    sums = csc_matrix((mass, labels, np.arange(len(labels) + 1)), shape=(k, len(labels)))
    return np.asarray(sums @ values)
