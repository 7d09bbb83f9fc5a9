r"""Which components a row is held against: those of the block of rows that it belongs to.

Every component k has a list of c components, itself among them, and every row n an owner. A row's
candidates are its owner's list, so that rows of one owner are one matrix product against few
components. After a pass, with shares sₐₖ = Σ rₙₖ over the rows that a owns,

- a list keeps the components of the largest shares, and for the others draws as many from the
  lists of the components that it keeps, and one from all: lists of neighbours' neighbours find what
  is near without a search over all pairs;
- a row goes to the component of its largest responsibility.

This is the truncated E-step of Lücke & Eggert (2010) and Forster & Lücke (2018), with candidates
that are shared by blocks of rows instead of being held for each. Draws are hashes of a seed, of
the pass and of the component, so that neither threads nor the order of rows enter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.parallel import each_batch
from mixtura.fit.groups import grouped_by
from mixtura.typing import FloatArray

__all__ = ["Neighbourhoods", "improved", "introduced"]

#: Share of a list's rows from which a component is not given up for a trial, but for a few.
WORTH = 1e-4
#: Lists that a thread refreshes at a time.
LISTS = 2048


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Owners of rows, and lists of components.

    Attributes
    ----------
    owner : array (n,) of int32
    lists : array (k, c) of int32
        Distinct in each list, which begins with the component itself.
    turn : array (k,) of int, optional
        Components in the order in which blocks of rows are visited: where those that follow each
        other are near, what a block reads is at hand from the last one.
    """

    owner: FloatArray
    lists: FloatArray
    turn: FloatArray | None = None

    @property
    def k(self) -> int:
        """Number of components."""
        return len(self.lists)

    @cached_property
    def blocks(self) -> tuple[FloatArray, FloatArray]:
        """Rows sorted by the turns of their owners (n,), and where each turn begins (k + 1,)."""
        if self.turn is None:
            return grouped_by(self.owner, self.k)
        rank = np.empty(self.k, dtype=np.int32)
        rank[self.turn] = np.arange(self.k)
        return grouped_by(np.take(rank, self.owner), self.k)


def improved(
    held: Neighbourhoods, shares: FloatArray, best: FloatArray, trials: int, seed: int
) -> Neighbourhoods:
    """Owners and lists for the next pass.

    Parameters
    ----------
    held : Neighbourhoods
        Of the last pass.
    shares : array (k, c)
        Responsibilities of the lists' components, summed over the rows of each owner.
    best : array (n,)
        The component of each row's largest responsibility.
    trials : int
        Components that each list gives up for others.
    seed : int
        Of this pass.
    """
    k, width = held.lists.shape
    if width == k or trials == 0:
        return replace(held, owner=best)
    whole = shares.sum(axis=1, keepdims=True)
    matter = 1 + np.count_nonzero(shares[:, 1:] > WORTH * whole, axis=1)
    kept = np.clip(matter, width - trials, width - max(1, trials // 4))
    work, shares = len(best) * k, shares.copy()
    ranked, lists = np.empty((2, k, width), dtype=np.int32)
    rank, refill = (compiled.choose(f"lists.{name}", work) for name in ("ranked", "refilled"))
    each_batch(lambda low, high: rank(held.lists, shares, low, high, ranked), k, LISTS)
    drawn = _draws(ranked, width - trials, 2 * trials, seed)
    each_batch(lambda low, high: refill(ranked, kept, drawn, low, high, lists), k, LISTS)
    return replace(held, owner=best, lists=lists)


def introduced(
    held: Neighbourhoods, rows: FloatArray, first: FloatArray, second: FloatArray, trials: int
) -> Neighbourhoods:
    """Owners of some rows anew, and their second components among the trials of the first's list.

    Parameters
    ----------
    rows : array (m,)
    first, second : arrays (m,)
        Their best components, and the next best, −1 where there is none.
    trials : int
        Places at the end of each list that may be taken.
    """
    owner, lists = held.owner.copy(), held.lists
    owner[rows] = first
    some = second >= 0
    pairs, counts = np.unique(
        first[some].astype(np.int64) * held.k + second[some], return_counts=True
    )
    to, new = pairs // held.k, pairs % held.k
    fresh = ~(lists[to] == new[:, None]).any(axis=1)
    order = np.lexsort((-counts[fresh], to[fresh]))  # what is met often comes first
    to, new = to[fresh][order], new[fresh][order]
    rank = np.arange(len(to)) - np.searchsorted(to, to)
    to, new, rank = to[rank < trials], new[rank < trials], rank[rank < trials]
    if len(to):
        lists = lists.copy()
        lists[to, lists.shape[1] - 1 - rank] = new
    return replace(held, owner=owner, lists=lists)


def _draws(lists: FloatArray, kept: int, count: int, seed: int) -> FloatArray:
    """Components (k, count) from the lists of those kept, near ones more often; one from all."""
    k, width = lists.shape
    u = _uniform(k, 2 * count, seed)
    via = np.take_along_axis(lists, (u[:, :count] ** 2 * kept).astype(np.int64), axis=1)
    drawn: FloatArray = lists[via, (u[:, count:] ** 2 * width).astype(np.int64)]
    drawn[:, 0] = u[:, 0] * k
    return drawn


def _uniform(k: int, count: int, seed: int) -> FloatArray:
    """Numbers (k, count) in [0, 1): splitmix64 of a counter (Steele, Lea & Flood 2014)."""
    step = 0x9E3779B97F4A7C15
    start = np.uint64((seed * 0xBF58476D1CE4E5B9 + 1) % 2**64)
    z = np.arange(1, k * count + 1, dtype=np.uint64) * np.uint64(step) + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)) * 2.0**-53).reshape(k, count)
