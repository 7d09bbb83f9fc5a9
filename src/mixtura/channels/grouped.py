"""Rows in groups that were measured alike: equal gaps, or one of a few qualities.

The rows of a group share T = A Σ Aᵀ + S on their observed coordinates, and with it one
factorisation per component. Rows are sorted by group at the door.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.channels.channel import Channel, Diagonal, Linear
from mixtura.channels.measured import Measured, Run, call, plain
from mixtura.typing import FloatArray

__all__ = ["Grouped"]

KERNELS = tuple(f"patterns.group_{name}" for name in ("log_density", "moments", "centres"))


@dataclass(frozen=True, eq=False)
class Grouped(Measured):
    """Rows sorted by group.

    Attributes
    ----------
    variance : array (g, p)
        Of each group's independent noise: 0 exact, infinite missing.
    group : array (n,) of int
        Each row's, never falling.
    d : int
        Columns of x.
    noise : array (p, p), optional
        Covariance of correlated noise that all rows have beside it.
    operator : array (p, d), optional
        A of y = A x + e for all rows; the identity if None.
    whole : int, optional
        Rows of the table from which these were cut; these alone by default.
    """

    variance: FloatArray
    group: FloatArray
    d: int
    noise: FloatArray | None = None
    operator: FloatArray | None = None
    whole: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", max(self.whole, len(self.group)))

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, rows: slice) -> Grouped:
        return replace(self, group=self.group[rows])

    @property
    def missing(self) -> FloatArray:
        return np.asarray(np.isinf(self.variance)[self.group])

    def _runs(self) -> tuple[FloatArray, FloatArray]:
        """Where runs of one group begin, the end included; and their variances."""
        cuts = np.flatnonzero(np.diff(self.group)) + 1
        starts = np.concatenate([[0], cuts, [len(self.group)]]).astype(np.int64)
        if len(self.group) == 0:
            starts = starts[:1]
        return starts, self.variance[self.group[starts[:-1]]]

    def runs(self) -> Iterator[Run]:
        starts, variances = self._runs()
        for start, stop, variance in zip(starts[:-1], starts[1:], variances, strict=True):
            seen = np.flatnonzero(np.isfinite(variance))
            yield Run(int(start), int(stop), seen, self._channel(variance, seen))

    def _channel(self, variance: FloatArray, seen: FloatArray) -> Channel:
        if self.operator is None and self.noise is None:
            return Diagonal(variance, seen=seen)
        operator = np.eye(self.d) if self.operator is None else self.operator
        noise = np.diag(variance[seen])
        if self.noise is not None:
            noise = noise + self.noise[np.ix_(seen, seen)]
        return Linear(operator[seen], noise)

    # ---- kernels ------------------------------------------------------------------------------
    def _seen(self, means: FloatArray, factor: FloatArray) -> tuple[Any, ...]:
        """What the kernels take: runs, A μ, A Σ Aᵀ + S, A F."""
        base, centres = factor, means
        if self.operator is not None:
            base, centres = self.operator @ factor, means @ self.operator.T
        sigma = base @ np.swapaxes(base, 1, 2)
        if self.noise is not None:
            sigma = sigma + self.noise
        starts, variance = self._runs()
        return starts, *(plain(a) for a in (variance, centres, sigma, base))

    def warm(self, k: int) -> None:
        compiled.warm(*KERNELS, work=self.whole * k)

    def as_of(self, times: int) -> Grouped:
        return replace(self, whole=times * self.whole)

    def _call(self, name: str, y: FloatArray, *seen: Any) -> int:
        k = len(seen[2])
        return call(f"patterns.{name}", self.whole * k, plain(y), *seen)

    def log_density(
        self, y: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        *seen, _ = self._seen(means, factor)
        out = np.empty((len(means), len(y)))  # rows lie along the inner axis
        return out.T, self._call("group_log_density", y, *seen, out)

    def moments(
        self, y: FloatArray, resp: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, FloatArray, int]:
        first, second = np.zeros(means.shape), np.zeros(factor.shape)
        seen = self._seen(means, factor)
        return first, second, self._call("group_moments", y, *seen, plain(resp.T), first, second)

    def expectation(
        self, y: FloatArray, resp: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        """Σₖ rₖ E[x | y, k] (b, d) in the missing cells of rows without noise; 0 in the others."""
        out, seen = np.zeros((len(y), self.d)), self._seen(means, factor)
        return out, self._call("group_expectation", y, *seen, plain(resp.T), out)

    def centres(
        self, y: FloatArray, mean: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        out, seen = np.empty((len(y), self.d)), self._seen(mean[None], factor[None])
        failed = self._call("group_centres", y, *seen, out)
        return mean + out @ factor.T, failed
