"""The dense engine: every row against every component, batch by batch, in threads.

Memory depends on neither n nor k·n: a batch's log joint (b, k) is normalised in place into
responsibilities, its statistics are added, and it is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["Dense", "normalise"]

#: Log responsibilities are raised to this: 1e-217 and 1e-26.
NOTHING = {np.dtype(np.float64): -500.0, np.dtype(np.float32): -60.0}

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
        size = self.batch_rows or self._size(model, rows)

        def span(start: int, stop: int) -> tuple[Any, float]:
            total, loglik = None, 0.0
            for low in range(start, stop, size):
                batch = rows.batch(low, min(low + size, stop))
                view = model.at(batch)
                resp, log_norm = normalise(view.log_joint)
                if batch.weight is not None:
                    log_norm = log_norm * batch.weight
                    resp *= batch.weight[:, None].astype(resp.dtype, copy=False)
                loglik += float(np.sum(log_norm, dtype=np.float64))
                part = view.statistics(resp)
                total = part if total is None else total.absorb(part)
            return total, loglik

        threads = n_workers() if model.concurrent and rows.n > 2 * size else 1
        parts = map_spans(span, rows.n, threads)
        stats, loglik = parts[0]
        for other, more in parts[1:]:
            stats, loglik = stats.absorb(other), loglik + more
        return stats, loglik, memory

    def _size(self, model: Any, rows: Rows) -> int:
        if not model.concurrent:  # large statistics: large batches, and BLAS's own threads
            return int(np.clip(2**26 // model.row_bytes(rows), 512, 4096))
        row = model.row_bytes(rows)
        least = max(256, min(model.least_rows, LARGE_BATCH // row))
        return int(np.clip(self.batch_bytes // row, least, 4096))


def normalise(log_joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Responsibilities (b, k), in the memory of ``log_joint``, and log p(x) (b,)."""
    top = log_joint.max(axis=1, keepdims=True)
    np.subtract(log_joint, np.where(np.isfinite(top), top, 0), out=log_joint)
    # Below this a responsibility is nothing, but subnormal numbers would slow exp and products.
    np.maximum(log_joint, NOTHING[log_joint.dtype], out=log_joint)
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_joint /= total
        log_norm = (np.log(total) + top)[:, 0]
    return log_joint, log_norm
