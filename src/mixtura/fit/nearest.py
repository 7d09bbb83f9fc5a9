"""Nearest centres: argmax over c of ⟨x, c⟩ − ‖c‖² / 2, one matrix product for a batch of rows.

Rows are centred, scaled by their largest deviation, and lifted by a column of ones, so that the
product with (c, −‖c‖² / 2) is the score itself. In single precision a label may be that of another
centre which is as near up to rounding; distances are therefore taken from differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from mixtura.arrays.parallel import map_spans, n_workers, single_threaded_blas
from mixtura.typing import FloatArray

__all__ = ["Cloud", "group_sums", "lifted", "nearest_of", "settled"]

BATCH = 1024
#: Rows × centres up to which one thread serves.
SMALL = 2**22


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
        some.__dict__.update(mean=self.mean, scale=self.scale, single=self.single[index])
        return some

    @cached_property
    def single(self) -> FloatArray:
        """All rows, lifted (n, d + 1), in float32."""
        return self.lifted(np.float32)

    def lifted(self, dtype: Any) -> FloatArray:
        """All rows in these coordinates with a column of ones."""
        out = np.empty((self.n, self.x.shape[1] + 1), dtype=dtype)
        out[:, -1] = 1
        mean, scale = self.mean, 1 / self.scale

        def span(start: int, stop: int) -> None:
            for low in range(start, stop, BATCH):
                cut = slice(low, min(low + BATCH, stop))
                centred = self.x[cut] - mean
                np.multiply(centred, scale, out=out[cut, :-1], casting="same_kind")

        map_spans(span, self.n, n_workers() if out.size > SMALL else 1)
        return out

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
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    right = np.concatenate([centres, -half[:, None]], axis=1).T.astype(rows.dtype, order="C")
    out = np.empty(len(rows), dtype=np.int64)
    size = int(np.clip(2**20 // len(centres), 64, 4 * BATCH))

    def span(start: int, stop: int) -> None:
        score = np.empty((min(size, stop - start), len(centres)), dtype=rows.dtype)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            np.matmul(rows[low:high], right, out=score[: high - low])
            score[: high - low].argmax(axis=1, out=out[low:high])

    if len(rows) * len(centres) > SMALL:
        map_spans(span, len(rows), n_workers())
    else:  # waking BLAS's threads would take longer than the product
        with single_threaded_blas():
            span(0, len(rows))
    return out


def group_sums(values: FloatArray, labels: FloatArray, mass: FloatArray, k: int) -> FloatArray:
    """Σ mass · values (k, f) over the rows of each label."""
    sums = csc_matrix((mass, labels, np.arange(len(labels) + 1)), shape=(k, len(labels)))
    return np.asarray(sums @ values)


def settled(
    cloud: Cloud, centres: FloatArray, steps: int, gain: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Lloyd's iterations (Lloyd 1982): centres (k, d) and labels (n,), in the cloud's coordinates.

    They end after so many steps, or when no more than a share ``gain`` of the rows moves. A centre
    without rows stays where it is.
    """
    k = len(centres)
    labels = nearest_of(cloud.single, centres)
    for _ in range(steps):
        mass = np.bincount(labels, weights=cloud.mass, minlength=k)
        total = group_sums(cloud.single[:, :-1], labels, cloud.mass, k)
        centres = np.where(mass[:, None] > 0, total / np.maximum(mass, 1e-300)[:, None], centres)
        before, labels = labels, nearest_of(cloud.single, centres)
        if np.count_nonzero(before != labels) <= gain * cloud.n:
            break
    return centres, labels
