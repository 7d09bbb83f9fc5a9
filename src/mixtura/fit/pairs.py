r"""One E-step where statistics are large: which rows matter to which component, then moments.

Full covariances of hundreds of columns have statistics of hundreds of megabytes: one copy for each
thread, or each batch, would cost more than the rows do. So a block of rows is first held against
the components, batch by batch in threads, of which the pairs (n, k) with a responsibility that
matters remain; then each component takes the moments of its rows about its own mean,

    Σₙ rₙₖ (xₙ − μₖ)(xₙ − μₖ)ᵀ,

in one product, threads over components, each into its own place. The reference is
``GaussianView.statistics`` batch by batch, with which this agrees up to rounding.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.sources import Rows
from mixtura.statistics import Grouped, Statistics, normalise
from mixtura.statistics.responsibilities import negligible
from mixtura.typing import FloatArray

__all__ = ["by_component", "serves"]

#: Responsibilities (n, k) that are held at a time.
HELD = 2**22
#: Working memory of a batch of rows of one thread, and rows that it has at most.
BATCH_BYTES, MOST_ROWS = 2**24, 8192
#: Rows of one component that go into one product.
PRODUCT_ROWS = 4096


def serves(model: Any, rows: Rows) -> bool:
    """Whether the statistics of whole and exact rows are better taken component by component."""
    if model.concurrent or rows.channel is not None or rows.selection is not None:
        return False
    _, form = model.kernel(rows.x.dtype)
    return bool(form.guarded) and not model.kind.pooled


class Owners(NamedTuple):
    """The component (n,) of each row's largest log joint, of k."""

    best: FloatArray
    k: int


def by_component(model: Any, rows: Rows, memory: Any = None) -> tuple[Statistics, float, Any]:
    """Sufficient statistics, the total log-likelihood (nats, weighted) of all rows, and memory.

    Parameters
    ----------
    memory : Owners, optional
        Of an earlier pass over the same rows: where to look first. Results are the same to
        rounding without.
    """
    dtype, _ = model.kernel(rows.x.dtype)
    own = (model.means - model.anchor).astype(dtype)
    k, d, kind = model.k, model.d, model.kind
    mass, first, second = np.zeros(k), np.zeros((k, d)), np.zeros((k, kind.size(d)))
    loglik, threads = 0.0, n_workers()
    fits = isinstance(memory, Owners) and memory.k == k and len(memory.best) == rows.n
    guess = memory.best if fits else None
    owners = Owners(np.empty(rows.n, dtype=np.int32), k)
    held = max(HELD // k, MOST_ROWS)

    def moments(found: list[Grouped], j: int) -> None:
        index = np.concatenate([g.rows[g.bounds[j] : g.bounds[j + 1]] for g in found])
        values = np.concatenate([g.values[g.bounds[j] : g.bounds[j + 1]] for g in found])
        for low in range(0, len(index), PRODUCT_ROWS):
            cut = slice(low, low + PRODUCT_ROWS)
            r, near = values[cut], model.centred(np.take(rows.x, index[cut], axis=0))
            near -= own[j]
            mass[j] += r.sum(dtype=np.float64)
            first[j] += r @ near
            second[j] += kind.gather_one(r, near, j)

    for start in range(0, rows.n, held):
        stop = min(start + held, rows.n)
        found = []
        for part in map_spans(_pairs(model, rows, start, guess, owners), stop - start, threads):
            loglik += part[0]
            found += part[1]
        counts = np.sum([np.diff(g.bounds) for g in found], axis=0)
        cuts = np.searchsorted(np.cumsum(counts), np.linspace(0, counts.sum(), threads + 1)[1:-1])
        cuts = np.concatenate([[0], cuts, [k]])

        def span(low: int, high: int, found: list[Grouped] = found, cuts: Any = cuts) -> None:
            for j in range(cuts[low], cuts[high]):
                moments(found, j)

        map_spans(span, threads, threads)
    anchor = model.anchor + own.astype(np.float64)
    return Statistics(mass, mass.copy(), first, second, anchor, kind), loglik, owners


def _pairs(model: Any, rows: Rows, begin: int, guess: FloatArray | None, owners: Owners) -> Any:
    """Work on a span of rows after ``begin``: their log-likelihood, and what matters by batch."""
    dtype, form = model.kernel(rows.x.dtype)
    most = int(np.clip(BATCH_BYTES // (dtype.itemsize * model.d), 256, MOST_ROWS))

    def span(start: int, stop: int) -> tuple[float, list[Grouped]]:
        loglik, found = 0.0, []
        parts = -(-(stop - start) // most)
        cuts = [begin + start + (stop - start) * i // parts for i in range(parts + 1)]
        for low, high in pairwise(cuts):
            batch = rows.batch(low, high)
            likely = () if guess is None or not form.guided else (guess[low:high],)
            joint = form.log_joint(model.centred(batch.x), *likely)
            owners.best[low:high] = joint.argmax(axis=1)
            resp, log_norm = normalise(joint, batch.weight)
            loglik += float(np.sum(log_norm, dtype=np.float64))
            components, places = np.nonzero(np.ascontiguousarray((resp > negligible(resp)).T))
            bounds = np.searchsorted(components, np.arange(model.k + 1))
            values = resp[places, components]
            found.append(Grouped(low + places, values, bounds, high - low))
        return loglik, found

    return span
