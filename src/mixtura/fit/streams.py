"""The door of streams: a budget of memory, one pass that gathers, and a sample to start on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mixtura.fit.budget import Plan
from mixtura.fit.ground import arrive
from mixtura.sources.streamed import Streamed
from mixtura.sources.streams import Stream

__all__ = ["streamed"]


def streamed(stream: Stream, divided: Plan, *, k: int = 1, seed: Any = 0) -> Streamed:
    """Rows for a fit, from a stream.

    Parameters
    ----------
    stream : Stream
    divided : Plan
        See ``fit.budget.plan``.
    k : int
        Components that are to be fitted, if known.
    seed : int
        Of the sample.

    Raises
    ------
    InputError
        See ``sources.gathering.gathered``.
    """
    rows = Streamed.of(stream, chunk=divided.chunk, sample=divided.sample, seed=seed)
    if not rows.measured:
        return rows
    held = arrive(rows.held.x, rows.held.weight, k=k)  # starts stand on whole rows
    return replace(rows, summary=replace(rows.summary, sample=held))
