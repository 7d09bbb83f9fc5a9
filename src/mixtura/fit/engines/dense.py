"""The dense engine: every row against every component, batch by batch, in threads.

Memory depends on neither n nor k·n: a batch's log joint (b, k) is normalised into responsibilities,
its statistics are added, and it is gone. In large tables compiled code keeps the responsibilities
that matter, and where columns and components are few it does the whole step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.fit import pairs
from mixtura.sources import Rows
from mixtura.statistics import grouped, normalise

__all__ = ["Dense"]

#: Rows of a batch of the fused pass.
FUSED_ROWS = 2**16
#: Working memory of one thread's batch where responsibilities are grouped.
GROUPED_BYTES = 4 * 2**20

#: Bytes up to which a batch is made larger than ``batch_bytes`` for a model that asks for it.
LARGE_BATCH = 32 * 2**20


@dataclass(frozen=True)
class Dense:
    """Exact E-step in batches.

    Attributes
    ----------
    batch_bytes : int
        Working memory of one thread's batch.
    batch_rows : int, optional
        Rows in a batch, overriding ``batch_bytes``.
    """

    batch_bytes: int = 3 * 2**20
    batch_rows: int | None = None

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> tuple[Any, float, Any]:
        """Sufficient statistics and the total log-likelihood (nats, weighted) of all rows.

        Returns
        -------
        stats, loglik, memory
            ``memory`` is what an engine carries from one step to the next: nothing, here.
        """
        model.ready(rows)
        if pairs.serves(model, rows):
            return pairs.by_component(model, rows, memory)
        serves = compiled.serves(rows.n_table * model.k)
        fused = model.fused(rows) if serves else None
        groups = serves and model.scatters(rows)
        size = self.batch_rows or self._size(model, rows, groups)
        soft = grouped if groups else normalise

        def general(start: int, stop: int, total: Any = None) -> tuple[Any, float]:
            loglik = 0.0
            for low in range(start, stop, size):
                batch = rows.batch(low, min(low + size, stop))
                view = model.at(batch)
                resp, log_norm = soft(view.log_joint, batch.weight)
                loglik += float(np.sum(log_norm, dtype=np.float64))
                part = view.statistics(resp)
                total = part if total is None else total.absorb(part)
            return total, loglik

        def span(start: int, stop: int) -> tuple[Any, float]:
            if fused is None:
                return general(start, stop)
            total, loglik = None, 0.0
            for low in range(start, stop, FUSED_ROWS):
                high = min(low + FUSED_ROWS, stop)
                part, more = fused(low, high)
                if np.isnan(more):  # rows beyond the range of the loop
                    total, more = general(low, high, total)
                else:
                    total = part if total is None else total.absorb(part)
                loglik += more
            return total, loglik

        threads = n_workers() if model.concurrent and rows.n > 2 * size else 1
        parts = map_spans(span, rows.n, threads)
        stats, loglik = parts[0]
        for other, more in parts[1:]:
            stats, loglik = stats.absorb(other), loglik + more
        return stats, loglik, memory

    def _size(self, model: Any, rows: Rows, groups: bool) -> int:
        if not model.concurrent:  # large statistics: large batches, and BLAS's own threads
            return int(np.clip(2**26 // model.row_bytes(rows), 512, 4096))
        row = model.row_bytes(rows)
        least = max(256, min(model.least_rows(rows), LARGE_BATCH // row))
        if groups:  # large batches, so that groups are not small
            return int(np.clip(GROUPED_BYTES // (8 * (model.k + 3 * rows.d)), least, 8192))
        return int(np.clip(self.batch_bytes // row, least, 4096))
