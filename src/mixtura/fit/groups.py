r"""Nearest of many centres by a search on two levels, for rows that may miss the very nearest.

k centres are put into about 2 √k groups of near ones, by Lloyd's iterations over them. Every group
knows the groups next to it, of about 8 √k centres together. A row is held against the means of the
groups, and then against the centres next to the nearest one: against 10 √k and not k. This is an
inverted file (Sivic & Zisserman 2003; Jégou, Douze & Schmid 2011) whose lists overlap. Few centres
are one group, and nothing is missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from mixtura.arrays.parallel import each_batch
from mixtura.fit.nearest import group_sums, lifted, nearest_of
from mixtura.typing import FloatArray

__all__ = ["MANY", "Groups", "grouped_by"]

#: Centres up to which there is one group.
FEW = 256
#: Centres from which k-means is content with near ones.
MANY = 2048
#: Groups, and centres next to each of them, in units of √k.
FINE, NEAR = 2.0, 8.0
#: Lloyd's iterations over the centres.
STEPS = 5
#: Rows of a batch.
ROWS = 4096


def grouped_by(labels: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
    """Places (n,) sorted by label, in their order within each, and bounds (k + 1,)."""
    n = len(labels)
    table = csr_matrix((np.ones(n, dtype=np.int8), labels, np.arange(n + 1)), shape=(n, k)).tocsc()
    return table.indices.astype(np.int32, copy=False), table.indptr.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Groups:
    """Centres in groups.

    Attributes
    ----------
    points : array (k, d)
        The centres.
    means : array (g, d)
        Of the groups.
    own : list of arrays of int
        The centres of each group.
    near : list of arrays of int
        Those and the centres of the groups next to it, ascending.
    pairs : int
        Distances that were evaluated to find all this.
    """

    points: FloatArray
    means: FloatArray
    own: list[FloatArray]
    near: list[FloatArray]
    pairs: int

    @classmethod
    def of(cls, points: FloatArray, least: int = 1) -> Groups:
        """Groups of centres (k, d), to each of which so many of them at least are near."""
        k = len(points)
        if k <= FEW:
            every = np.arange(k)
            return cls(points, points.mean(axis=0, keepdims=True), [every], [every], 0)
        count, enough = round(FINE * np.sqrt(k)), min(k, max(least, round(NEAR * np.sqrt(k))))
        rows, means = lifted(points, np.float32), points[np.arange(count) * k // count]
        for _ in range(STEPS):
            label = nearest_of(rows, means)
            mass = np.bincount(label, minlength=count)[:, None]
            total = group_sums(points, label, np.ones(k), count)
            means = np.where(mass > 0, total / np.maximum(mass, 1), means)
        order, bounds = grouped_by(nearest_of(rows, means), count)
        own, near = np.split(order, bounds[1:-1]), []
        for g in range(count):
            apart = ((means - means[g]) ** 2).sum(axis=1)
            apart[g] = -1.0  # a group is next to itself
            ranked = np.argsort(apart, kind="stable")
            last = np.searchsorted(np.cumsum(np.diff(bounds)[ranked]), enough)
            near.append(np.sort(np.concatenate([own[i] for i in ranked[: last + 1]])))
        return cls(points, means, own, near, (STEPS + 1) * k * count + count**2)

    def meet(
        self,
        n: int,
        rows: Callable[[Any], FloatArray],
        visit: Callable[[FloatArray, FloatArray, FloatArray], None],
    ) -> int:
        """Show every row the centres that it is held against, in threads.

        Parameters
        ----------
        n : int
            Rows.
        rows : callable
            Of places, the lifted rows that stand there; see ``nearest``.
        visit : callable (places (b,), rows (b, d + 1), near (m,))
            Called for batches of rows: once for every row.

        Returns
        -------
        int
            Pairs of rows and centres that were met, means of groups among them.
        """
        count, label = len(self.own), np.zeros(n, dtype=np.int32)

        def outer(start: int, stop: int) -> None:
            label[start:stop] = nearest_of(rows(slice(start, stop)), self.means)

        def inner(start: int, stop: int) -> None:
            first, last = np.searchsorted(bounds, [start, stop - 1], side="right") - 1
            for g in range(first, last + 1):
                places = order[max(start, bounds[g]) : min(stop, bounds[g + 1])]
                if len(places):
                    visit(places, rows(places), self.near[g])

        if count > 1:
            each_batch(outer, n, ROWS)
        order, bounds = grouped_by(label, count)
        each_batch(inner, n, ROWS)
        met = int(np.diff(bounds) @ [len(near) for near in self.near])
        return met + (n * count if count > 1 else 0)

    def nearest(self, n: int, rows: Callable[[Any], FloatArray]) -> tuple[FloatArray, int]:
        """A near centre (n,) of every row, most often the nearest, and the pairs that were met."""
        out = np.empty(n, dtype=np.int32)

        def visit(places: FloatArray, some: FloatArray, near: FloatArray) -> None:
            out[places] = near[nearest_of(some, self.points[near])]

        met = self.meet(n, rows, visit)
        return out, met
