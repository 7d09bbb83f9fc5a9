"""Steps: what one iteration does with the rows. The batch step is plain EM over all of them."""

from __future__ import annotations

from typing import Any

from mixtura.sources import Rows

__all__ = ["batch_step"]


def batch_step(model: Any, rows: Rows, engine: Any, memory: Any) -> tuple[Any, Any, float, Any]:
    """One EM iteration over all rows.

    Returns
    -------
    model : the maximised model
    stats : the statistics it was maximised from
    objective : float
        Mean log-likelihood per unit of weight, plus the penalty, of the model that came in.
    memory : the engine's
    """
    stats, loglik, memory = engine.expect(model, rows, memory)
    objective = loglik / rows.total_weight + model.penalty() / rows.total_weight
    return model.maximise(stats), stats, objective, memory
