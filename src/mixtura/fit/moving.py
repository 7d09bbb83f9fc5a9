"""Lloyd's iterations that move idle centres to where the error is.

A centre c is worth what its rows would lose without it, Σ (D₂² − D₁²) over them, D₁ and D₂ the
distances to the nearest and the second nearest centre. Each pass takes the means (Lloyd 1982), and
moves a share of the centres, those of least worth, to rows drawn by D₁², as k-means++ does
(Fritzke 2020, breathing k-means; Lattanzi & Sohler 2019 prove as much of one centre at a time).
A centre stays where its closest neighbour goes. Seeds of plain k-means++ so become better ones
than greedy k-means++ finds, for a small part of its time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.fit.groups import MANY, Groups
from mixtura.fit.nearest import Cloud, group_sums, scores
from mixtura.typing import FloatArray

__all__ = ["BRIEF", "LONG", "moving"]

#: Shares of the centres that the passes move: a few passes, and more.
BRIEF = (0.2, 0.15, 0.1, 0.08, 0.05, 0.02, 0.0, 0.0)
LONG = (0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05, 0.03, 0.02, 0.0, 0.0)


def moving(
    cloud: Cloud,
    centres: FloatArray,
    rng: np.random.Generator,
    *,
    shares: tuple[float, ...] = LONG,
    dtype: Any = np.float32,
) -> FloatArray:
    """Better centres (k, d), in the cloud's coordinates.

    Parameters
    ----------
    cloud : Cloud
        Rows on which the passes run.
    centres : array (k, d)
    rng : Generator
    shares : tuple of float
        Of centres that each pass moves; its length is the number of passes.
    dtype : dtype
        In which nearest centres are found.
    """
    rows = cloud.lifted(dtype)
    k = len(centres)
    for share in shares:
        nearest, second, error, loss = _two_nearest(rows, centres)
        mass = np.bincount(nearest, weights=cloud.mass, minlength=k)
        total = group_sums(rows[:, :-1], nearest, cloud.mass, k)
        means = np.where(mass[:, None] > 0, total / np.maximum(mass, 1e-300)[:, None], centres)
        count = int(share * k)
        if count > 0:
            worth = np.bincount(nearest, weights=cloud.mass * loss, minlength=k)
            idle = _idle(worth, nearest, second, count)
            cumulative = np.cumsum(cloud.mass * error)
            if cumulative[-1] > 0:
                level = rng.random(len(idle)) * cumulative[-1]
                places = np.searchsorted(cumulative, level, side="right")
                means[idle] = rows[np.minimum(places, len(rows) - 1), :-1]
        centres = means
    return centres


def _idle(worth: FloatArray, nearest: FloatArray, second: FloatArray, count: int) -> FloatArray:
    """Centres of least worth, no two of which are neighbours."""
    rank = np.empty(len(worth), dtype=np.int64)
    order = np.argsort(worth, kind="stable")
    rank[order] = np.arange(len(worth))
    neighbour = np.arange(len(worth))
    neighbour[nearest] = second  # of the last of its rows
    chosen = order[:count]
    goes = (rank[neighbour[chosen]] >= count) | (rank[neighbour[chosen]] >= rank[chosen])
    return np.asarray(chosen[goes])


def _two_nearest(
    rows: FloatArray, centres: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Nearest and second nearest centre (n,), D₁² and D₂² − D₁² of lifted rows (n, d + 1)."""
    nearest, second = np.empty((2, len(rows)), dtype=np.int64)
    points = centres.astype(rows.dtype)
    error, loss = np.empty((2, len(rows)))

    def meet(places: FloatArray | None, some: FloatArray, near: FloatArray | None) -> None:
        """Rows ``some``, which stand at ``places``, against some centres, or all."""

        def visit(low: int, high: int, score: FloatArray) -> None:
            each = np.arange(high - low)
            cut = slice(low, high) if places is None else places[low:high]
            first = score.argmax(axis=1)
            score[each, first] = -np.inf
            other = score.argmax(axis=1)
            if near is not None:
                first, other = near[first], near[other]
            nearest[cut], second[cut] = first, other
            square = np.empty((2, high - low))
            for labels, out in zip((first, other), square, strict=True):
                diff = some[low:high, :-1] - np.take(points, labels, axis=0)
                np.einsum("ij,ij->i", diff, diff, out=out, casting="unsafe")
            error[cut], loss[cut] = square[0], np.maximum(square[1] - square[0], 0.0)

        scores(some, centres if near is None else centres[near], visit)

    if len(centres) < MANY:
        meet(None, rows, None)
    else:
        Groups.of(centres).meet(len(rows), lambda places: rows[places], meet)
    return nearest, second, error, loss
