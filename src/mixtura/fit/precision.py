"""Precisions of a fit: float64, float32, or float32 first and float64 at the end.

Matrix products and exponentials of float32 numbers take half the time, and EM needs few digits on
its way: rows are centred in float64 before digits are dropped, parameters, factors and sums stay in
float64, and where a form's digits would not suffice it computes in float64 (``covariance.form``).
``mixed`` repeats the last iteration in float64 and goes on from there until that converges too, so
that the answer is that of float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.errors import InputError
from mixtura.fit.driver import Fit, run
from mixtura.fit.steps import batch_step
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["PRECISIONS", "run_in"]

#: Names -> what a fit iterates in; None is the rows' own type.
PRECISIONS: dict[str, Any] = {"double": None, "mixed": np.float32, "single": np.float32}


#: Rows farther from the anchor than this are not squared in float32.
FARTHEST = 1e15


@dataclass
class _Last:
    """What the last iteration met, and what became of it."""

    entered: Any = None
    left: Any = None
    mended: bool = False
    stopped: bool = False


def _within(rows: Rows, anchor: FloatArray) -> bool:
    """Whether squares of rows about the anchor keep well within float32."""
    low, high = rows.extremes()
    return bool(max((high - anchor).max(), (anchor - low).max()) < FARTHEST)


def run_in(
    precision: str,
    model: Any,
    rows: Rows,
    engine: Any,
    *,
    max_iter: int = 100,
    tol: float = 1e-3,
    step: Any = batch_step,
    begin: Any = None,
    previous: float = -np.inf,
    callback: Any = None,
) -> Fit:
    """``run`` in one of ``PRECISIONS``.

    Rows whose errors or gaps are known, and tables with values too far out for float32, are
    computed in float64 in any case, and ``mixed`` is ``double`` where rows × components are too few
    to repay it. ``begin``, where given, is asked for the model from which to start; see
    ``fit.stepwise``.

    Raises
    ------
    InputError
        For an unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"expected precision as one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}"
        )
    how: dict[str, Any] = {"tol": tol, "step": step, "callback": callback}
    small = precision == "mixed" and rows.n * model.k < compiled.LEAST_WORK
    coarse = PRECISIONS[precision]
    if coarse is None or small or rows.measured or not _within(rows, model.anchor):
        model = begin(model, rows, engine) if begin is not None and max_iter > 0 else model
        start = [model]
        # A large start shall not outlive the first iteration; a call with ** would hold it.
        del model
        return run(
            start.pop(),
            rows,
            engine,
            max_iter=max_iter,
            previous=previous,
            tol=tol,
            step=step,
            callback=callback,
        )
    model = replace(model, compute=np.dtype(coarse))
    model = begin(model, rows, engine) if begin is not None and max_iter > 0 else model
    last_of, start = _Last(), [model]
    del model

    def watched_step(model: Any, rows: Rows, engine: Any, memory: Any) -> Any:
        last_of.entered = model
        found = step(model, rows, engine, memory)
        last_of.left = found[0]
        return found

    def watched(state: Any) -> bool:
        last_of.mended = state.model is not last_of.left
        last_of.stopped = callback is not None and callback(state) is True
        return last_of.stopped

    first = run(
        start.pop(),
        rows,
        engine,
        max_iter=max_iter,
        tol=tol,
        step=watched_step,
        previous=previous,
        callback=watched,
        final=precision == "single",
    )
    if precision == "single" or first.n_iter == 0:
        return replace(first, model=replace(first.model, compute=None))
    # An extrapolated model may have been refused, and a model that lost components was mended:
    # then the fit goes on from what was kept.
    again = step is batch_step and not last_of.mended
    kept = first.trace[:-1] if again else first.trace
    last = run(
        replace(last_of.entered if again else first.model, compute=np.dtype(np.float64)),
        rows,
        engine,
        max_iter=1 if last_of.stopped else max_iter - len(kept),
        previous=(kept[-1] if kept else previous) if again else -np.inf,
        **how,
    )
    if last.n_iter == 0:  # none was left
        return replace(first, model=replace(first.model, compute=None))
    return Fit(
        replace(last.model, compute=None),
        kept + last.trace,
        last.converged,
        len(kept) + last.n_iter,
        first.notes + last.notes,
    )
