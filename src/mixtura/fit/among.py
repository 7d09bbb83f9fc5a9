r"""Expectations of rows that meet few components: log joints by blocks, moments by component.

Rows of a block share a list K, so that their log joints are those of a form with the components of
K alone; rₖ = exp(ℓₖ − log Σ_{l ∈ K} exp ℓₗ), and log Σ_K is a bound below log p(x). Pairs that
matter, about two to a row, are then sorted by component, and each component takes the moments of
its rows about its own mean, in one product: sums do not depend on how rows were cut, nor on
threads. Diagonal components of large tables have a compiled pass, ``arrays.blocks``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.fit.groups import grouped_by
from mixtura.fit.neighbourhoods import Neighbourhoods
from mixtura.sources import Rows
from mixtura.statistics import Diagonal, Statistics, Trace, normalise
from mixtura.statistics.responsibilities import NEGLIGIBLE
from mixtura.typing import FloatArray

__all__ = ["Passed", "blockwise", "expectation", "tables", "warm"]

#: Rows whose pairs with components are held before moments are taken of them.
HELD_ROWS = 2**16
#: Working memory of a batch of rows of one thread.
BATCH_BYTES = 8 * 2**20
#: Rows of one component that go into one product.
PRODUCT_ROWS = 8192
#: Compiled loops, in the order in which a fit calls them.
LOOPS = ("blocks.diagonal", "lists.ranked", "lists.refilled", "bounded.log_total")


class Passed(NamedTuple):
    """What a pass over all rows found.

    Attributes
    ----------
    stats : Statistics
    loglik : float
        Σ weight · log Σ_K exp ℓ: a bound below the log-likelihood.
    shares : array (k, c)
        Responsibilities of each list's components, summed over the rows of its owner.
    best : array (n,) of int32
        The component of each row's largest responsibility.
    far : array (n,) of float32
        Half of the squared Mahalanobis distance to that component.
    """

    stats: Statistics
    loglik: float
    shares: FloatArray
    best: FloatArray
    far: FloatArray


def expectation(model: Any, rows: Rows, held: Neighbourhoods, size: int | None = None) -> Passed:
    """One E-step in which rows meet the components of their owners' lists.

    Parameters
    ----------
    model : GaussianModel
    rows : Rows
        Whole and exact.
    held : Neighbourhoods
    size : int, optional
        Rows of a batch.
    """
    if blockwise(model, rows):
        return _compiled(model, rows, held)
    return _General(model, rows, held, size).passed()


# ---- every structure -----------------------------------------------------------------------------
class _Batch(NamedTuple):
    """Pairs of rows and components that matter, and sums over the rows of a batch."""

    rows: FloatArray
    components: FloatArray
    values: FloatArray
    loglik: float
    owners: FloatArray
    shares: FloatArray


class _General:
    """A pass by the model's form and the kind of its moments."""

    def __init__(self, model: Any, rows: Rows, held: Neighbourhoods, size: int | None) -> None:
        self.model, self.rows, self.held = model, rows, held
        self.dtype, self.form = model.quickest(rows)
        self.order, self.bounds = held.blocks
        self.best = np.empty(rows.n, dtype=np.int32)
        self.far = np.empty(rows.n, dtype=np.float32)
        self.peaks = model.peaks
        width = held.lists.shape[1]
        self.shares = np.zeros((model.k, width))
        self.size = size or int(np.clip(BATCH_BYTES // (16 * (model.d + width)), 256, 4096))
        k, d, kind = model.k, model.d, model.kind
        self.mass, self.first = np.zeros(k), np.zeros((k, d))
        self.second = np.zeros((1 if kind.pooled else k, kind.size(d)))

    def passed(self) -> Passed:
        loglik, n = 0.0, self.rows.n
        threads = n_workers() if n > 2 * self.size else 1
        for low in range(0, n, HELD_ROWS):
            found = self._batches(low, min(low + HELD_ROWS, n), threads)
            for batch in found:
                loglik += batch.loglik
                self.shares[batch.owners] += batch.shares
            self._moments(found, threads)
        model, mass = self.model, self.mass
        anchor = model.means
        if self.form.blocked:
            anchor = model.anchor + self.form.means.astype(np.float64)
        stats = Statistics(mass, mass.copy(), self.first, self.second, anchor, model.kind)
        return Passed(stats, loglik, self.shares, self.best, self.far)

    def _batches(self, start: int, stop: int, threads: int) -> list[_Batch]:
        """Rows ``order[start:stop]`` in batches."""

        def span(low: int, high: int) -> list[_Batch]:
            cuts = [*range(start + low, start + high, self.size), start + high]
            return [self._batch(a, b) for a, b in pairwise(cuts)]

        return [batch for part in map_spans(span, stop - start, threads) for batch in part]

    def _batch(self, low: int, high: int) -> _Batch:
        held, dtype = self.held, self.dtype
        index = self.order[low:high]
        owner = held.owner[index]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        joint = self._joint(index, np.append(starts, len(index)), held.lists[owner[starts]])
        lists, each, chosen = held.lists[owner], np.arange(len(index)), joint.argmax(axis=1)
        self.best[index] = best = lists[each, chosen]
        self.far[index] = self.peaks[best] - joint[each, chosen]
        resp, log_norm = normalise(joint)
        at, place = np.nonzero(resp > NEGLIGIBLE[dtype])
        values = resp[at, place]
        weight = None if self.rows.weight is None else self.rows.weight[index]
        if weight is not None:
            log_norm = log_norm * weight
            values = values * weight[at].astype(dtype)
            resp *= weight[:, None].astype(dtype)
        shares = np.add.reduceat(resp.astype(np.float64), starts, axis=0)
        loglik = float(np.sum(log_norm, dtype=np.float64))
        return _Batch(index[at], lists[at, place], values, loglik, owner[starts], shares)

    def _joint(self, index: FloatArray, starts: FloatArray, lists: FloatArray) -> FloatArray:
        """Log joints (b, c) of some rows, block by block, with the components of their lists."""
        if self.form.blocked:
            near = self._near(index)
            return np.asarray(self.form.blocks(*near, self.model.anchor, starts, lists))
        x = self.model.centred(np.take(self.rows.x, index, axis=0), self.dtype)
        parts = zip(pairwise(starts), lists, strict=True)
        return np.concatenate([self.form.among(some).log_joint(x[a:b]) for (a, b), some in parts])

    def _near(self, index: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A C-ordered table, and places of some rows in it."""
        x = self.rows.x
        if x.flags.c_contiguous:
            return x, index
        return np.take(x, index, axis=0), np.arange(len(index), dtype=np.int32)

    def _moments(self, found: list[_Batch], threads: int) -> None:
        """Add the moments of rows about their components' means."""
        order, bounds = grouped_by(np.concatenate([b.components for b in found]), self.model.k)
        rows = np.concatenate([b.rows for b in found])[order]
        values = np.concatenate([b.values for b in found])[order]
        cuts = np.searchsorted(bounds, np.linspace(0, len(rows), threads + 1)[1:-1])
        cuts = np.concatenate([[0], cuts, [self.model.k]]).astype(np.int64)

        def span(i: int, stop: int) -> FloatArray | None:
            pooled = np.zeros_like(self.second) if self.model.kind.pooled else None
            if self.form.blocked:
                self._blocked((cuts[i], cuts[stop]), rows, values, bounds)
                return None
            for j in range(cuts[i], cuts[stop]):
                for low in range(bounds[j], bounds[j + 1], PRODUCT_ROWS):
                    cut = slice(low, min(low + PRODUCT_ROWS, bounds[j + 1]))
                    self._moment(j, rows[cut], values[cut], pooled)
            return pooled

        for pooled in map_spans(span, threads, threads):
            if pooled is not None:
                self.second += pooled

    def _blocked(
        self, span: tuple[int, int], rows: FloatArray, values: FloatArray, bounds: FloatArray
    ) -> None:
        """The same of a span of components by compiled code, as many rows as are held at a time."""
        x, places = self._near(rows[bounds[span[0]] : bounds[span[1]]])
        held = values[bounds[span[0]] : bounds[span[1]]]
        given = (x, places, bounds - bounds[span[0]], held, self.model.anchor)
        sums = (self.mass, self.first, self.second)
        self.form.moments(span, *given, self.model.kind.basis, sums)

    def _moment(self, j: int, rows: FloatArray, r: FloatArray, pooled: FloatArray | None) -> None:
        second = self.second[j] if pooled is None else pooled[0]
        near = np.take(self.rows.x, rows, axis=0) - self.model.means[j]
        near = near.astype(self.dtype, copy=False)
        self.mass[j] += r.sum(dtype=np.float64)
        self.first[j] += r @ near
        second += self.model.kind.gather_one(r, near, j)


# ---- diagonal components of large tables ---------------------------------------------------------
def blockwise(model: Any, rows: Rows) -> bool:
    """Whether compiled loops over blocks of rows serve."""
    plain = isinstance(model.kind, Diagonal | Trace) and model.covariance.rung <= 1
    return plain and not model.kind.pooled and compiled.serves(rows.n * model.k)


def warm(model: Any, rows: Rows) -> None:
    """Begin to compile such loops, while a start is looked for."""
    if blockwise(model, rows):
        kinds = [np.dtype(t).str[1:] for t in (rows.x.dtype, model.kernel(rows.x.dtype)[0])]
        compiled.warm(*LOOPS, work=rows.n * model.k, real=" in ".join(kinds))


def tables(model: Any, rows: Rows, held: Neighbourhoods) -> tuple[FloatArray, ...]:
    """The first arguments of such loops: rows, blocks, lists in their turn, and components."""
    dtype, _ = model.kernel(rows.x.dtype)
    half = 0.5 / np.broadcast_to(model.covariance.diagonal(), model.means.shape)
    return (
        np.ascontiguousarray(rows.x),
        np.empty(0) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64),
        *held.blocks,
        np.ascontiguousarray(held.lists if held.turn is None else held.lists[held.turn]),
        model.anchor,
        _padded(model.means - model.anchor, dtype),
        _padded(half, dtype),
        model.peaks.astype(dtype),
    )


def _compiled(model: Any, rows: Rows, held: Neighbourhoods) -> Passed:
    """The same by one compiled loop."""
    k, d, width = model.k, model.d, held.lists.shape[1]
    given = tables(model, rows, held)
    means = given[6]
    run = compiled.kernel("blocks.diagonal")
    best, far = np.empty(rows.n, dtype=np.int32), np.empty(rows.n, dtype=np.float32)
    parts = (model.kind.size(d),)

    def span(start: int, stop: int) -> tuple[Any, ...]:
        shares, mass = np.zeros((k, width)), np.zeros(k)
        first, second = np.zeros((k, d)), np.zeros((k, *parts))
        least = float(NEGLIGIBLE[means.dtype])
        loglik = run(*given, start, stop, least, shares, best, far, mass, first, second)
        return loglik, shares, mass, first, second

    total = map_spans(span, rows.n, n_workers())
    loglik, shares, mass, first, second = total[0]
    for more in total[1:]:
        loglik += more[0]
        for mine, theirs in zip((shares, mass, first, second), more[1:], strict=True):
            mine += theirs
    by_owner = np.empty_like(shares)
    by_owner[slice(None) if held.turn is None else held.turn] = shares
    anchor = model.anchor + means[:, :d].astype(np.float64)
    stats = Statistics(mass, mass.copy(), first, second, anchor, model.kind)
    return Passed(stats, loglik, by_owner, best, far)


def _padded(table: FloatArray, dtype: Any) -> FloatArray:
    """With columns of zeros up to a multiple of eight."""
    k, d = table.shape
    out = np.zeros((k, -(-d // 8) * 8), dtype=dtype)
    out[:, :d] = table
    return out
