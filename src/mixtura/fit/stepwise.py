r"""Stepwise EM, as a warm start: the model is maximised after every part of the rows.

With ŝ the statistics of a part under the current model, scaled to all rows,

    s ← (1 − γₜ) s + γₜ ŝ,    θ ← M(s),    γₜ = (t + 2)^(−½)

(Cappé & Moulines 2009; Liang & Klein 2009; exponents above ½ would converge, which is not wanted of
them here). Two passes bring a fit about as far as dozens of passes of plain EM; then they wander
about an optimum at a distance, so that EM must finish. Where parts hold few rows per component they
lead to worse optima, and nothing is done.

Part i holds rows i, i + p, i + 2p, …, so that sorted tables do no harm; p is a prime, so that no
common period of a table is a part's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.errors import MixturaError
from mixtura.sources import Rows
from mixtura.statistics import Projected

__all__ = ["warmed"]

#: Numbers of parts, passes over them, and the exponent of the steps.
PARTS, PASSES, DECAY = (11, 31, 101), 2, 0.5
#: Rows per component and column from which this pays, and those of a part where parts are more than
#: the fewest.
ROWS_EACH, PART_EACH = 40, 5


def warmed(model: Any, rows: Rows, engine: Any) -> Any:
    """The model after ``PASSES`` stepwise passes; itself where they do not pay or led nowhere.

    Parameters
    ----------
    model : Model
        Where to start.
    rows : Rows
    engine : Engine

    Returns
    -------
    Model
        No worse than the one given, on the first part.
    """
    rows = rows.held if isinstance(rows, Rows) else rows  # of a stream, the sample
    whole = isinstance(rows, Rows) and rows.channel is None and rows.selection is None
    few = rows.n < ROWS_EACH * model.k * model.d
    if not whole or few or model.k == 1 or isinstance(model.kind, Projected):
        return model
    least = PART_EACH * model.k * max(model.d, 10)
    count = max((p for p in PARTS if rows.n >= p * least), default=PARTS[0])
    parts = [rows.part(i, count) for i in range(count)]
    if min(part.total_weight for part in parts) <= 0:
        return model
    given, began, total = model, -np.inf, None
    try:
        for t in range(PASSES * count):
            part = parts[t % count]
            stats, loglik, _ = engine.expect(model, part)
            if t == 0:
                began = loglik + model.penalty()
            stats = (rows.total_weight / part.total_weight) * stats
            step = (t + 2) ** -DECAY
            total = stats if total is None else (1 - step) * total + step * stats
            model = model.maximise(total)
        ended = engine.expect(model, parts[0])[1] + model.penalty()
    except MixturaError:  # a component collapsed
        return given
    return model if ended >= began else given
