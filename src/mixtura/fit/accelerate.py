r"""Safeguarded SQUAREM: extrapolation of EM's sufficient statistics (Varadhan & Roland 2008).

EM is a fixed-point iteration s ← E(M(s)) on the expected statistics of the rows. From three passes
s₀, s₁, s₂, with r = s₁ − s₀ and v = (s₂ − s₁) − r,

    s' = s₀ − 2 α r + α² v,    α = −‖r‖ / ‖v‖ ≤ −1,

looks as far ahead as the two steps allow; α = −1 is s₂ itself. The model fitted to s' is kept where
the log-likelihood that it enters with is no lower than that of s₂'s predecessor, and the pass in
which this is seen is itself an EM step; else EM goes on from s₂, so that no step descends.
Statistics, unlike parameters, need little care to stay within bounds: weights sum to one and
covariances are symmetric for any α, and what is left, masses and variances below zero, halves α.

Norms are taken with each moment in units of the data's own scale, so that α does not depend on the
units of the columns.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.errors import MixturaError
from mixtura.fit.steps import batch_step
from mixtura.sources import Rows
from mixtura.statistics import Projected, Statistics
from mixtura.typing import FloatArray

__all__ = ["squarem_step"]

#: Extrapolation begins when a pass gains less than so many nats per row: far from the end, long
#: steps lead elsewhere as often as ahead.
SLOW = 3e-3
#: Longest step at first, and the factor by which it grows when it held and shrinks when it did not.
LONGEST, GROWTH = 4.0, 4.0


@dataclass
class _Memory:
    """What is carried from pass to pass."""

    engine: Any = None
    #: Statistics of the last passes that were plain EM steps.
    passed: tuple[Statistics, ...] = ()
    #: Model after s₂ and the objective that an extrapolated one must reach; None otherwise.
    spare: tuple[Any, float] | None = None
    longest: float = LONGEST
    alpha: float = 1.0
    units: FloatArray | None = None
    #: The model that is to come in next; another one was mended on the way.
    expected: Any = None
    before: float = -np.inf

    def settled(self, model: Any) -> Any:
        """The model to end with: not one that no pass has judged."""
        return self.spare[0] if self.spare is not None and model is self.expected else model


def squarem_step(model: Any, rows: Rows, engine: Any, memory: Any) -> tuple[Any, Any, float, Any]:
    """One pass over all rows: a plain EM step, or the trial of an extrapolated model.

    Parameters and answers as of ``batch_step``. A trial that fails costs a second pass.
    """
    held = memory or _Memory()
    if model is not held.expected:
        held.passed, held.spare = (), None
    entered = held.engine
    after, stats, objective, held.engine = batch_step(model, rows, engine, entered)
    if held.spare is not None:
        fallback, least = held.spare
        held.spare, held.passed = None, ()
        if not objective >= least:
            held.longest = max(1.0, held.longest / GROWTH)
            after, stats, objective, held.engine = batch_step(fallback, rows, engine, entered)
        elif held.alpha == held.longest:
            held.longest *= GROWTH
    slow, held.before = objective - held.before < SLOW, objective
    if (
        not slow
        or isinstance(stats.kind, Projected)
        or (held.passed and not _alike(held.passed[-1], stats))
    ):
        held.passed = ()  # too early, or moments of another kind, which cannot be compared
        held.expected = after
        return after, stats, objective, held
    held.passed = (*held.passed, stats)
    if len(held.passed) == 3:
        ahead = _ahead(model, rows, held)
        held.passed = (stats,)
        if ahead is not None:
            held.spare = (after, objective)
            after = ahead
    held.expected = after
    return after, stats, objective, held


def _alike(one: Statistics, other: Statistics) -> bool:
    same = type(one.kind) is type(other.kind) and one.first.shape == other.first.shape
    return same and one.second.shape == other.second.shape


def _ahead(model: Any, rows: Rows, held: _Memory) -> Any:
    """The model of extrapolated statistics; None where there is none."""
    if held.units is None:
        held.units = np.sqrt(rows.variance())
    s0, s1, s2 = (s.about(held.passed[0].anchor) for s in held.passed)
    r, v = _minus(s1, s0), _minus(_minus(s2, s1), _minus(s1, s0))
    size, bend = _norm(r, held.units), _norm(v, held.units)
    if not bend > 0:
        return None
    held.alpha = float(min(max(size / bend, 1.0), held.longest))
    if held.alpha <= 1.0:
        held.longest = max(held.longest, GROWTH)  # tried again, after a plain step
        return None
    while held.alpha > 1.0:
        step = held.alpha  # −α
        ahead = s0 + 2 * step * r + step**2 * v
        if (ahead.mass > 0).all():
            with suppress(MixturaError):  # variances below zero
                return model.maximise(ahead)
        held.alpha /= 2
    return None


def _minus(a: Statistics, b: Statistics) -> Statistics:
    return replace(
        a,
        mass=a.mass - b.mass,
        weight=a.weight - b.weight,
        first=a.first - b.first,
        second=a.second - b.second,
    )


def _norm(stats: Statistics, units: FloatArray) -> float:
    """Root of the sum of squares, each moment in the data's units."""
    squares = np.sum(stats.mass**2) + np.sum((stats.first / units) ** 2)
    return float(np.sqrt(squares + np.sum((stats.second / stats.kind.phi(units[None])) ** 2)))
