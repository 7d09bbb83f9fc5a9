"""Rows of a stream, as a fit takes rows: summaries of all, a sample at hand, the rest in passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.sources.gathering import Summary, gathered
from mixtura.sources.rows import TOO_FAR, Rows
from mixtura.sources.streams import Stream
from mixtura.typing import FloatArray

__all__ = ["Streamed"]


@dataclass(frozen=True, eq=False)
class Streamed(Rows):
    """Rows that are read again whenever they are needed; cells may be missing (NaN).

    ``x`` has no rows, (0, d): it tells their type alone.

    Attributes
    ----------
    stream : Stream
    summary : Summary
    chunk : int
        Rows that are read at a time.
    """

    stream: Stream = None  # type: ignore[assignment]
    summary: Summary = None  # type: ignore[assignment]
    chunk: int = 65_536

    @classmethod
    def of(cls, stream: Stream, *, chunk: int, sample: int, seed: Any = 0) -> Streamed:
        """Gather what a fit needs in one pass.

        Parameters
        ----------
        stream : Stream
        chunk : int
            Rows to read at a time.
        sample : int
            Rows to keep in memory.
        seed : int
            Of the sample.

        Raises
        ------
        InputError
            See ``gathered``.
        """
        found = gathered(stream.chunks(chunk), stream.name, stream.d, sample, seed, stream.columns)
        if stream.dtype == np.float32 and max(-found.low.min(), found.high.max()) > TOO_FAR:
            stream.dtype = np.dtype(np.float64)  # as ``as_rows``: squares would overflow
            held = replace(found.sample, x=found.sample.x.astype(np.float64))
            found = replace(found, sample=held)
        none = np.empty((0, stream.d), dtype=stream.dtype)
        return cls(none, stream=stream, summary=found, chunk=chunk)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.stream.n

    @property
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        return self.summary.n_present

    @property
    def total_weight(self) -> float:
        """Σ weights."""
        return self.summary.total

    @property
    def lightest(self) -> float:
        """The smallest positive weight."""
        return self.summary.lightest

    @property
    def measured(self) -> bool:
        """Whether any cell is missing."""
        return self.summary.gaps is not None

    @property
    def n_numbers(self) -> float:
        """Numbers that the table holds."""
        gaps = self.summary.gaps
        missing = 0 if gaps is None else int(gaps.cells.sum())
        return self.n_meant * (self.d - missing / self.n)

    @property
    def held(self) -> Rows:
        """The sample."""
        return self.summary.sample

    @property
    def points(self) -> FloatArray:
        """Whole rows of the sample."""
        return self.held.points

    def mean(self) -> FloatArray:
        """Weighted mean of all rows (d,)."""
        return self.summary.mean

    def variance(self) -> FloatArray:
        """Weighted variance of all rows (d,)."""
        return self.summary.variance

    def extremes(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest value of each column."""
        return self.summary.low, self.summary.high

    def robust_scale(self) -> FloatArray:
        """As of ``Rows``, of the sample."""
        return self.held.robust_scale()

    def chunks(self, size: int | None = None) -> Iterator[Rows]:
        """One pass over all rows; a chunk is valid until the next is asked for."""
        for x, weight in self.stream.chunks(size or self.chunk):
            if weight is not None and self.summary.factor != 1.0:
                weight = weight * self.summary.factor
            yield Rows(x, weight, table=self.n)

    def batches(self, size: int) -> Iterator[Rows]:
        """Consecutive batches of at most ``size`` rows."""
        return self.chunks(min(size, self.chunk))
