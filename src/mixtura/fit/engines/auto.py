r"""The engine that is right for a fit: dense, but truncated where that costs far less.

A dense pass evaluates n k pairs of rows and components, a truncated one n c. What beside the
pairs a truncated pass costs, and how much better long products use a machine, is one measured
number: with k = ``WORTH`` · c components its passes take at most a quarter of the dense ones'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mixtura.arrays import compiled
from mixtura.fit.engines.dense import Dense
from mixtura.fit.engines.truncated import Memory, Truncated
from mixtura.sources import Rows

__all__ = ["Auto", "chosen"]

#: Components per candidate from which truncation is chosen, and rows per component.
WORTH, LEAST_ROWS = 64, 8


def chosen(model: Any, rows: Rows) -> Dense | Truncated:
    """The engine for a model and rows: what is small, or was measured, is dense."""
    engine = Truncated()
    whole = rows.channel is None and rows.selection is None
    many = model.k >= WORTH * engine.candidates and rows.n >= LEAST_ROWS * model.k
    return engine if whole and many and compiled.serves(rows.n * model.k) else Dense()


@dataclass(frozen=True)
class Auto:
    """Dense or truncated, whichever a model and rows ask for."""

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> tuple[Any, float, Any]:
        """See ``Dense.expect`` and ``Truncated.expect``."""
        return chosen(model, rows).expect(model, rows, memory)

    def finish(self, rows: Rows, memory: Any) -> tuple[float, str]:
        """See ``Truncated.finish``; nothing after a dense fit."""
        if not isinstance(memory, Memory):
            return 0.0, ""
        dropped, note = Truncated().finish(rows, memory)
        return dropped, f"engine 'auto' chose {note}" if note else ""

    def for_chunks(self) -> Dense:
        """Dense: nothing is remembered of rows that are streamed."""
        return Dense()

    def loglik(self, model: Any, rows: Rows) -> float:
        """The exact log-likelihood of all rows (nats, weighted)."""
        engine = chosen(model, rows)
        if isinstance(engine, Truncated):
            return engine.loglik(model, rows)
        return engine.expect(model, rows)[1]
