"""Rows that were measured through channels: what a table with gaps or noise carries along.

A ``Measured`` value says for each of n rows how y (p,) came from x (d,). It travels beside the
rows, is sliced as they are, and answers in two ways: as runs of rows that share one ``Channel``,
for the readable path over ``Law``, and by kernels for means and factors of Gaussians.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays import compiled
from mixtura.channels.channel import Channel
from mixtura.typing import FloatArray

__all__ = ["Measured", "Run", "call", "plain"]


class Run(NamedTuple):
    """Rows start … stop − 1, which share a channel."""

    start: int
    stop: int
    #: Which coordinates of y were observed.
    observed: FloatArray
    channel: Channel


class Measured(ABC):
    """How each of n rows was measured."""

    #: Columns of x.
    d: int
    #: A of y = A x + e: (p, d) for all rows or (n, p, d); None where x itself was measured.
    operator: FloatArray | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def __getitem__(self, rows: slice) -> Measured:
        """Some consecutive rows."""

    @property
    @abstractmethod
    def missing(self) -> FloatArray:
        """Which coordinates of y were not observed (n, p)."""

    @property
    def censored(self) -> FloatArray:
        """Which coordinates of y are known by an interval alone (n, p)."""
        return np.zeros_like(self.missing)

    @property
    def n_observed(self) -> FloatArray:
        """Observed coordinates of each row (n,)."""
        missing = self.missing
        return np.asarray(missing.shape[1] - missing.sum(axis=1))

    def shown(self, y: FloatArray) -> FloatArray:
        """Rows (n, p) with NaN in the place of what was not observed."""
        return np.where(self.missing, np.nan, y)

    def at_limits(self) -> Measured:
        """The same rows with censored cells taken at their limits: these rows, where none is."""
        return self

    def row_floats(self, k: int) -> int:
        """Floating point numbers of working memory per row and k components, compiled."""
        return 2 * (k + self.d)

    @abstractmethod
    def warm(self, k: int) -> None:
        """Begin to compile, in the background, what these rows need with k components."""

    @abstractmethod
    def as_of(self, times: int) -> Measured:
        """The same rows, taken for part of a table that is ``times`` as long."""

    @abstractmethod
    def runs(self) -> Iterator[Run]:
        """Consecutive rows that share a channel, in order; all rows are covered."""

    def images(self, vectors: FloatArray, run: Run) -> FloatArray:
        """The observed coordinates of A v for v (k, d): (k, o)."""
        if self.operator is None:
            return vectors[:, run.observed]
        operator = self.operator if self.operator.ndim == 2 else self.operator[run.start]
        return vectors @ operator[run.observed].T

    # ---- compiled -----------------------------------------------------------------------------
    @abstractmethod
    def log_density(
        self, y: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        """Log N(y; A μ, A Σ Aᵀ + S) of rows (b, p) under each component: (b, k).

        Parameters
        ----------
        means : array (k, d)
        factor : array (k, d, d)
            Lower triangular F with F Fᵀ = Σ.

        Returns
        -------
        log_density : array (b, k)
        failed : int
            −1, or the component for which an observation's covariance is not positive definite.
        """

    @abstractmethod
    def moments(
        self, y: FloatArray, resp: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, FloatArray, int]:
        """Σ r E[ξ | y] (k, d) and Σ r E[ξ ξᵀ | y] (k, d, d), where x = μ + F ξ; and ``failed``."""

    @abstractmethod
    def centres(
        self, y: FloatArray, mean: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        """E[x | y] (b, d) under one Gaussian, mean (d,) and factor (d, d); and ``failed``."""


def plain(array: FloatArray) -> FloatArray:
    """The array in the one form for which kernels are compiled."""
    return np.require(array, np.float64, ["C", "W"])


def call(name: str, work: float, *arguments: Any) -> int:
    """Run a kernel for so much work; what it says: −1, or the component that failed."""
    return int(compiled.choose(name, work)(*arguments))
