"""What all components say of rows: the two likeliest of some, and the log-likelihood of all.

A truncated fit asks this of the few rows that it searches for, and once at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.parallel import each_batch, map_spans, n_workers
from mixtura.fit.among import blockwise, tables
from mixtura.fit.neighbourhoods import Neighbourhoods
from mixtura.sources import Rows
from mixtura.statistics import grouped, normalise
from mixtura.statistics.responsibilities import NEGLIGIBLE
from mixtura.typing import FloatArray

__all__ = ["exact_loglik", "likeliest"]

#: Log joints so far below a row's largest do not count in it.
NEAR = 12.0
#: Working memory of one thread's batch.
BATCH_BYTES = 4 * 2**20


def _batch_rows(model: Any, rows: Rows) -> int:
    _, form = model.quickest(rows)
    numbers = form.row_floats(model.d, model.k)
    return int(np.clip(BATCH_BYTES // (8 * numbers), min(form.least_rows, 1024), 4096))


def _form_of(model: Any, x: FloatArray) -> tuple[Any, FloatArray]:
    """The quickest form, and rows as it takes them."""
    dtype, form = model.quickest(Rows(x))
    return form, model.centred(x, dtype)


def likeliest(model: Any, rows: Rows, index: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The components of the two largest log joints of some rows, over all components.

    The second is −1 where it is nothing beside the first.
    """
    first, second = (np.empty(len(index), dtype=np.int32) for _ in range(2))

    def work(start: int, stop: int) -> None:
        form, x = _form_of(model, np.take(rows.x, index[start:stop], axis=0))
        joint = form.leading(x)
        each, top = np.arange(len(joint)), joint.argmax(axis=1)
        first[start:stop], level = top, joint[each, top] - NEAR
        joint[each, top] = -np.inf
        near = joint.argmax(axis=1)
        second[start:stop] = np.where(joint[each, near] > level, near, -1)

    each_batch(work, len(index), _batch_rows(model, rows))
    return first, second


def exact_loglik(model: Any, rows: Rows, held: Neighbourhoods | None = None) -> float:
    """Σ weight · log p(x) over all components, in what the model computes in.

    Parameters
    ----------
    model : GaussianModel
    rows : Rows
    held : Neighbourhoods, optional
        Owners of the rows: components are then left out of blocks of rows in which, together,
        they hold less than the least responsibility that counts.
    """
    if held is not None and blockwise(model, rows):
        return _bounded(model, rows, held)
    soft = grouped if compiled.serves(rows.n * model.k) else normalise
    size = _batch_rows(model, rows)

    def span(start: int, stop: int) -> float:
        total = 0.0
        for low in range(start, stop, size):
            batch = rows.batch(low, min(low + size, stop))
            form, x = _form_of(model, batch.x)
            _, log_norm = soft(form.log_joint(x), batch.weight)
            total += float(np.sum(log_norm, dtype=np.float64))
        return total

    return float(sum(map_spans(span, rows.n, n_workers() if rows.n > 2 * size else 1)))


def _bounded(model: Any, rows: Rows, held: Neighbourhoods) -> float:
    """The same by a compiled loop, where blocks of rows are near to few components."""
    given = tables(model, rows, held)
    across, steep = (np.ascontiguousarray(table[:, : model.d].T) for table in given[6:8])
    cut = float(np.log(model.k / NEGLIGIBLE[across.dtype]))
    run = compiled.kernel("bounded.log_total")

    def span(start: int, stop: int) -> float:
        met = np.zeros(1, dtype=np.int64)
        return float(run(*given, across, steep, cut, start, stop, met))

    return float(sum(map_spans(span, rows.n, n_workers())))
