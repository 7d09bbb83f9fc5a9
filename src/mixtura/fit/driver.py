"""The one EM loop: steps, stopping, recovery, trace. It is blind to what it drives.

The objective of iteration i is that of the model which entered it, as in scikit-learn; the loop
stops when it changes by less than ``tol``. Where much is unseen (censored cells, selected rows) EM
creeps, and it stops when all that is still to come is far less: with gains that shrink by a factor
c a step, g / (1 − c) with the last gain g (Aitken's extrapolation; Böhning et al. 1994).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.fit.recover import Recovery
from mixtura.fit.steps import batch_step
from mixtura.sources import Rows

__all__ = ["Fit", "Step", "run"]


@dataclass(frozen=True)
class Step:
    """What a callback is told after an iteration."""

    n_iter: int
    objective: float
    model: Any


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    model : the fitted model
    trace : tuple of float
        Mean log-likelihood per row (plus penalty) at each iteration.
    converged : bool
    n_iter : int
    notes : tuple of str
        What had to be recovered, as sentences.
    """

    model: Any
    trace: tuple[float, ...]
    converged: bool
    n_iter: int
    notes: tuple[str, ...] = ()

    @property
    def objective(self) -> float:
        """The last entry of the trace; −inf where there is none."""
        return self.trace[-1] if self.trace else -np.inf


#: Where EM creeps, what is still to come may be so much of ``tol``: factors of convergence are
#: underestimated before the end, and a mixture changes much in directions that cost little.
CREEPING = 1e-4


def _rest(gain: float, before: float) -> float:
    """What is still to be gained, where gains shrink as the last one did."""
    if not (np.isfinite(gain) and np.isfinite(before)):
        return np.inf
    if gain == 0:
        return 0.0
    factor = min(gain / before, 0.999) if before > 0 else 0.999
    return gain / (1.0 - factor)


def run(
    model: Any,
    rows: Rows,
    engine: Any,
    *,
    max_iter: int = 100,
    tol: float = 1e-3,
    step: Any = batch_step,
    previous: float = -np.inf,
    callback: Callable[[Step], Any] | None = None,
    final: bool = True,
) -> Fit:
    """Iterate until the objective changes by less than ``tol``, at most ``max_iter`` times.

    Parameters
    ----------
    model : Model
        Where to start.
    rows : Rows
    engine : Engine
    step : callable
        One iteration; see ``steps``. Where its memory has a method ``settled``, that is asked at
        the end for the model to hand out: a step may try a model which the next one judges.
    previous : float
        Objective of an earlier run that this one continues.
    callback : callable (Step) -> Any
        Called after each iteration; ends the fit by returning True.
    final : bool
        Whether an engine that leaves something out shall say at the end what that was, so that the
        last entry of the trace is exact.
    """
    recovery = Recovery()
    trace: list[float] = []
    memory: Any = None
    converged, before = False, np.inf
    creeps = rows.creeps
    for n_iter in range(1, max_iter + 1):
        model, stats, objective, memory = step(model, rows, engine, memory)
        trace.append(objective)
        mended = recovery(model, stats, rows, n_iter)
        lost, model = mended is not model, mended
        del stats, mended  # large where there are many columns
        if callback is not None and callback(Step(n_iter, objective, model)) is True:
            break
        gain = abs(objective - previous)
        if not lost and (_rest(gain, before) / CREEPING if creeps else gain) < tol:
            converged = True
            break
        before = gain
        previous = -np.inf if lost else objective
    if hasattr(memory, "settled"):
        model = memory.settled(model)
    notes = recovery.notes
    if final and trace and hasattr(engine, "finish"):
        dropped, note = engine.finish(rows, getattr(memory, "engine", memory))
        trace[-1] += dropped / rows.total_weight
        notes = [*notes, note] if note else notes
    return Fit(model, tuple(trace), converged, len(trace), tuple(notes))
