"""An engine over a stream: another one on every chunk, and the sum of what it finds.

Sufficient statistics add, so a pass in chunks gives those of the whole table, up to rounding. Where
cells are missing, what is known of a row is found piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.channels import measured
from mixtura.sources import Rows
from mixtura.sources.streamed import Streamed

__all__ = ["Chunked"]

#: Rows that are sorted by what is missing of them at a time.
PIECE = 32_768


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
            for piece in _as_measured(chunk) if rows.measured else [chunk]:
                part, more, _ = self.inner.expect(model, piece)
                stats = part if stats is None else stats.absorb(part)
                loglik += more
        return stats, loglik, memory


def _as_measured(chunk: Rows) -> Iterator[Rows]:
    """A chunk in pieces, those with missing cells sorted by what is missing; all in float64."""
    for piece in chunk.batches(PIECE):
        arrival = measured(piece.x)
        if arrival is None:
            yield replace(piece, x=piece.x.astype(np.float64, copy=False))
            continue
        channel: Any = replace(arrival.channel, whole=chunk.n_table)  # type: ignore[type-var]
        x, weight = arrival.sorted(piece.x), arrival.sorted(piece.weight)
        yield Rows(x, weight, channel=channel, table=chunk.n_table)
