"""Answers that carry their error."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Estimate", "MonteCarlo"]


class MonteCarlo(NamedTuple):
    """A Monte Carlo estimate and its standard error."""

    estimate: Any
    se: Any


class Estimate(NamedTuple):
    """A Monte Carlo estimate, its standard error, and bounds that the true value obeys."""

    estimate: Any
    se: Any
    lower: Any
    upper: Any
