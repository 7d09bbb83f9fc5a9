r"""What a fit must know of rows that are not held: moments, extremes, and a sample, in one pass.

Moments stand about the first row, and those of chunks are merged about their means (Chan, Golub &
LeVeque 1983), so that nothing cancels. The sample is a priority sample (Duffield, Lund & Thorup
2007): with u uniform, the m rows of largest w / u are kept, and each stands for max(w, τ) rows, τ
the largest priority not kept; sums over them are unbiased. Without weights that is a uniform draw.
It depends on the rows and the seed, not on the chunks in which they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.rows import Rows
from mixtura.typing import FloatArray

__all__ = ["MissingInStreamError", "Summary", "gathered"]


#: Rows that are summed at a time.
STEP = 16_384


class MissingInStreamError(InputError):
    """Missing cells in rows that are streamed."""


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
        low and high over all rows.
    factor : float
        By which weights are multiplied to be of an ordinary size; the sums above are.
    sample : Rows
        A weighted sample of the rows that count; all of them where they are few.
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
        For cells that are missing or infinite, and weights that are none.
    """
    some = _Priorities(size, d, seed)
    n = present = 0
    total, lightest = 0.0, np.inf
    mean, squares, shift = np.zeros(d), np.zeros(d), np.zeros(d)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    weighted = False
    for x, weight in chunks:
        low, high = np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))
        if not (np.isfinite(low) & np.isfinite(high)).all():
            raise _unusable(x, n, name, columns)
        if weight is not None:
            weighted = True
            _check(weight, n, name)
        for start in range(0, len(x), STEP):
            w = None if weight is None else weight[start : start + STEP]
            some.add(x[start : start + STEP], w, n + start)
            if n + start == 0:
                shift = x[0].astype(np.float64)
            part = x[start : start + STEP] - shift
            mass = float(len(part)) if w is None else float(w.sum())
            if not mass:
                continue
            centre = part.mean(axis=0) if w is None else w @ part / mass
            part -= centre
            # The mean of what is left is what rounding left of it.
            rest = part.mean(axis=0) if w is None else w @ part / mass
            part *= part
            spread = (part.sum(axis=0) if w is None else w @ part) - mass * rest**2
            centre, both = centre + rest, total + mass
            delta = centre - mean
            mean += delta * (mass / both)
            squares += spread + delta**2 * (total * mass / both)
            total = both
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
    factor = _factor(total, present) if weighted else 1.0
    x, weight = some.kept()
    if len(x) < present:
        weight = weight * (factor * total / weight.sum())  # they sum to those of all rows
        sample = Rows(x, weight)
    else:
        sample = Rows(x, weight * factor if weighted else None)
    lightest = factor * lightest if weighted else 1.0
    return Summary(
        present, factor * total, lightest, shift + mean, squares / total, low, high, factor, sample
    )


def _factor(total: float, present: int) -> float:
    """As ``rows.balanced``: weights that average under 1e-3 or over 1e9 are only relative."""
    return 1.0 if 1e-3 <= total / present <= 1e9 else present / total


class _Priorities:
    """The rows of largest priority so far."""

    def __init__(self, size: int, d: int, seed: Any) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._parts: list[tuple[Any, ...]] = []
        self._held, self._threshold = 0, 0.0

    def add(self, x: FloatArray, weight: FloatArray | None, first: int) -> None:
        """Rows from number ``first`` on."""
        u = 1.0 - self._rng.random(len(x))  # in (0, 1]
        priority = (1.0 if weight is None else weight) / u
        chosen = np.flatnonzero(priority > self._threshold)
        if not len(chosen):
            return
        w = np.ones(len(chosen)) if weight is None else weight[chosen]
        self._parts.append((priority[chosen], chosen + first, x[chosen], w))
        self._held += len(chosen)
        if self._held > self._size + max(self._size // 4, STEP):
            self._prune()

    def _prune(self) -> None:
        """Keep the largest, and the next one, whose priority is the threshold."""
        priority, place, x, w = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if len(priority) > self._size + 1:
            at = len(priority) - self._size - 1
            keep = np.argpartition(priority, at)[at:]
            priority, place, x, w = priority[keep], place[keep], x[keep], w[keep]
            self._threshold = float(priority.min())
            # Equal to the threshold, it would be lost to the next comparison: it stays here.
        self._parts, self._held = [(priority, place, x, w)], len(priority)

    def kept(self) -> tuple[FloatArray, FloatArray]:
        """Rows in the order in which they came, and how many each stands for."""
        self._prune()
        priority, place, x, w = self._parts[0]
        if len(priority) <= self._size:
            order = np.argsort(place)
            return x[order], w[order]
        last = int(np.argmin(priority))
        threshold = float(priority[last])
        order = np.argsort(place)
        order = order[order != last]
        return x[order], np.maximum(w[order], threshold)


def _check(weight: FloatArray, before: int, name: str) -> None:
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"expected finite non-negative weights in {name}, got {weight[i]:g} in row "
            f"{before + i + 1:,}; drop such rows or set their weight to 0"
        )


def _unusable(x: FloatArray, before: int, name: str, columns: tuple[str, ...] | None) -> InputError:
    """Which cell is no number."""
    i, j = (int(k) for k in np.argwhere(~np.isfinite(x))[0])
    where = f"row {before + i + 1:,}, column {columns[j] if columns else j}"
    if np.isnan(x[i, j]):
        return MissingInStreamError(
            f"expected whole rows from a stream, got a missing cell in {name} ({where}); rows with "
            "missing cells are fitted in memory alone: read the table and pass the array, or drop "
            "those rows"
        )
    return InputError(
        f"expected finite numbers in {name}, got {x[i, j]} in {where}; drop that row or mend it"
    )
