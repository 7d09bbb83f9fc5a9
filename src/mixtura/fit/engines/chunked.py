"""An engine over a stream: another one on every chunk, and the sum of what it finds.

Sufficient statistics add, so a pass in chunks gives those of the whole table, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mixtura.sources import Rows
from mixtura.sources.streamed import Streamed

__all__ = ["Chunked"]


@dataclass(frozen=True)
class Chunked:
    """Another engine, chunk by chunk.

    Attributes
    ----------
    inner : Engine
        What it remembers from one step to the next is not kept: it would be of every row.
    """

    inner: Any

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> tuple[Any, float, Any]:
        """As of the inner engine; rows that are in memory are left to it."""
        if not isinstance(rows, Streamed):
            return self.inner.expect(model, rows, memory)  # type: ignore[no-any-return]
        model.ready(rows)
        stats, loglik = None, 0.0
        for chunk in rows.chunks():
            part, more, _ = self.inner.expect(model, chunk)
            stats = part if stats is None else stats.absorb(part)
            loglik += more
        return stats, loglik, memory
