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

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from mixtura.arrays.parallel import each_batch, single_threaded_blas
from mixtura.fit.nearest import lifted, nearest_of
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["Neighbourhoods", "grouped_by", "improved", "introduced", "neighbourhoods"]

#: Numbers of a batch of components against all.
BATCH_NUMBERS = 2**21
#: Share of a list's rows from which a component is not given up for a trial, but for a few.
WORTH = 1e-4
#: Rows whose owners are looked for together.
ROWS = 2**16


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Owners of rows, and lists of components.

    Attributes
    ----------
    owner : array (n,) of int32
    lists : array (k, c) of int32
        Distinct in each list, which begins with the component itself.
    """

    owner: FloatArray
    lists: FloatArray

    @property
    def k(self) -> int:
        """Number of components."""
        return len(self.lists)

    @cached_property
    def blocks(self) -> tuple[FloatArray, FloatArray]:
        """Rows sorted by owner (n,), and where each owner's begin (k + 1,)."""
        return grouped_by(self.owner, self.k)


def grouped_by(labels: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
    """Places (n,) sorted by label, in their order within each, and bounds (k + 1,)."""
    n = len(labels)
    table = csr_matrix((np.ones(n, dtype=np.int8), labels, np.arange(n + 1)), shape=(n, k)).tocsc()
    return table.indices.astype(np.int32, copy=False), table.indptr.astype(np.int64)


def neighbourhoods(model: Any, rows: Rows, width: int) -> Neighbourhoods:
    """Where a fit begins: rows go to the nearest mean, lists to the largest log joints at means."""
    width = min(width, model.k)
    return Neighbourhoods(_nearest(model, rows), _lists(model, rows, width))


def _nearest(model: Any, rows: Rows) -> FloatArray:
    """The component (n,) of the nearest mean, in units of the components' own spread."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = 1 / np.sqrt(model.weights @ model.covariance.diagonal())
        centres = (model.means - model.anchor) * scale
    owner = np.empty(rows.n, dtype=np.int32)
    for low in range(0, rows.n, ROWS):
        x = (rows.x[low : low + ROWS] - model.anchor) * scale
        owner[low : low + ROWS] = nearest_of(lifted(x, np.float32), centres)
    return owner


def _lists(model: Any, rows: Rows, width: int) -> FloatArray:
    k = model.k
    if width == k:
        lists = np.broadcast_to(np.arange(k, dtype=np.int32), (k, k)).copy()
    else:
        lists = np.empty((k, width), dtype=np.int32)
        dtype, form = model.kernel(rows.x.dtype)
        centres = (model.means - model.anchor).astype(dtype)

        def work(start: int, stop: int) -> None:
            joint = form.log_joint(centres[start:stop])
            joint[np.arange(stop - start), np.arange(start, stop)] = np.inf
            lists[start:stop] = _largest(joint, width)

        with single_threaded_blas():
            each_batch(work, k, max(16, BATCH_NUMBERS // k))
    return _led(lists)


def _largest(values: FloatArray, width: int) -> FloatArray:
    """Places (b, width) of the largest values of each row, largest first."""
    places = np.argpartition(-values, width - 1, axis=1)[:, :width]
    places.sort(axis=1)  # ties go by place
    kept = np.take_along_axis(values, places, axis=1)
    return np.take_along_axis(places, np.argsort(-kept, axis=1, kind="stable"), axis=1)


def _led(lists: FloatArray) -> FloatArray:
    """The same lists, each with its own component first."""
    k = len(lists)
    own = np.argmax(lists == np.arange(k)[:, None], axis=1)
    lists[np.arange(k), own] = lists[:, 0]
    lists[:, 0] = np.arange(k)
    return lists


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
    if width == k:
        return Neighbourhoods(best, held.lists)
    if trials == 0:
        return Neighbourhoods(best, held.lists)
    whole = shares.sum(axis=1, keepdims=True)
    shares = shares.copy()
    shares[:, 0] = np.inf  # a component stays in its own list
    rank = np.argsort(-shares, axis=1, kind="stable")
    lists = np.take_along_axis(held.lists, rank, axis=1)
    stays = np.take_along_axis(shares, rank, axis=1) > WORTH * whole
    stays[:, : width - trials] = True
    stays[:, width - max(1, trials // 4) :] = False
    drawn = _draws(lists, width - trials, 2 * trials, seed)
    pool = np.concatenate([lists, drawn], axis=1)
    new = _first_of_each(pool)
    # What stays comes first, then what is new, in the order of its draw, then what is given up.
    turn = np.where(new, 1, 3)
    turn[:, :width] = np.where(stays, 0, 2)
    places = np.argsort(turn, axis=1, kind="stable")[:, :width]
    return Neighbourhoods(best, np.take_along_axis(pool, places, axis=1))


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
    return Neighbourhoods(owner, lists)


def _draws(lists: FloatArray, kept: int, count: int, seed: int) -> FloatArray:
    """Components (k, count) from the lists of those kept, near ones more often; one from all."""
    k, width = lists.shape
    u = _uniform(k, 2 * count, seed)
    via = np.take_along_axis(lists, (u[:, :count] ** 2 * kept).astype(np.int64), axis=1)
    drawn: FloatArray = lists[via, (u[:, count:] ** 2 * width).astype(np.int64)]
    drawn[:, 0] = u[:, 0] * k
    return drawn


def _first_of_each(pool: FloatArray) -> FloatArray:
    """Where (k, m) a number occurs in its row for the first time."""
    rank = np.argsort(pool, axis=1, kind="stable")
    ordered = np.take_along_axis(pool, rank, axis=1)
    first = np.ones(pool.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    out = np.empty(pool.shape, dtype=bool)
    np.put_along_axis(out, rank, first, axis=1)
    return out


def _uniform(k: int, count: int, seed: int) -> FloatArray:
    """Numbers (k, count) in [0, 1): splitmix64 of a counter (Steele, Lea & Flood 2014)."""
    step = 0x9E3779B97F4A7C15
    start = np.uint64((seed * 0xBF58476D1CE4E5B9 + 1) % 2**64)
    z = np.arange(1, k * count + 1, dtype=np.uint64) * np.uint64(step) + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)) * 2.0**-53).reshape(k, count)
