"""Rows each with a noise, and perhaps an operator, of its own: y = Aᵢ x + e, e ~ N(0, Sᵢ)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.channels.channel import Diagonal, Linear
from mixtura.channels.measured import Measured, Run, call, plain
from mixtura.typing import FloatArray

__all__ = ["Rowwise"]

KERNELS = tuple(f"lanes.row_{name}" for name in ("log_density", "moments", "centres"))
#: Columns beyond which a row counts for more than one where work is reckoned.
COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Rowwise(Measured):
    """One channel per row.

    Attributes
    ----------
    variance : array (n, p)
        Of independent noise: 0 exact, infinite missing.
    d : int
        Columns of x.
    noise : array (n, p, p), optional
        Covariances of correlated noise beside it; zero where a coordinate is missing.
    operator : array (n, p, d), optional
        The identity if None.
    whole : int, optional
        Rows of the table from which these were cut; these alone by default.
    """

    variance: FloatArray
    d: int
    noise: FloatArray | None = None
    operator: FloatArray | None = None
    whole: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", max(self.whole, len(self.variance)))

    def __len__(self) -> int:
        return len(self.variance)

    def __getitem__(self, rows: slice) -> Rowwise:
        return replace(
            self,
            variance=self.variance[rows],
            noise=None if self.noise is None else self.noise[rows],
            operator=None if self.operator is None else self.operator[rows],
        )

    @property
    def missing(self) -> FloatArray:
        return np.asarray(np.isinf(self.variance))

    def runs(self) -> Iterator[Run]:
        for i, variance in enumerate(self.variance):
            seen = np.flatnonzero(np.isfinite(variance))
            if self.operator is None and self.noise is None:
                yield Run(i, i + 1, seen, Diagonal(variance, seen=seen))
                continue
            operator = np.eye(self.d) if self.operator is None else self.operator[i]
            noise = np.diag(variance[seen])
            if self.noise is not None:
                noise = noise + self.noise[i][np.ix_(seen, seen)]
            yield Run(i, i + 1, seen, Linear(operator[seen], noise))

    # ---- kernels ------------------------------------------------------------------------------
    def _seen(self, means: FloatArray, factor: FloatArray) -> tuple[Any, ...]:
        """What the kernels take."""
        p = self.variance.shape[1]
        noise = np.empty((0, p, p)) if self.noise is None else self.noise
        operator = np.empty((0, p, self.d)) if self.operator is None else self.operator
        sigma = factor @ np.swapaxes(factor, 1, 2)
        arrays = (self.variance, noise, operator, means, sigma, factor)
        return tuple(plain(a) for a in arrays)

    def _work(self, k: int) -> float:
        """Rows times components; a factorisation for each counts where it is large."""
        return float(self.whole * k * max(1.0, (self.variance.shape[1] / COLUMNS) ** 2))

    def warm(self, k: int) -> None:
        compiled.warm(*KERNELS, work=self._work(k))

    def as_of(self, times: int) -> Rowwise:
        return replace(self, whole=times * self.whole)

    def _call(self, name: str, y: FloatArray, *seen: Any) -> int:
        return call(f"lanes.{name}", self._work(len(seen[3])), plain(y), *seen)

    def log_density(
        self, y: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        out = np.empty((len(means), len(y)))  # rows lie along the inner axis
        return out.T, self._call("row_log_density", y, *self._seen(means, factor), out)

    def moments(
        self, y: FloatArray, resp: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, FloatArray, int]:
        first, second = np.zeros(means.shape), np.zeros(factor.shape)
        seen = self._seen(means, factor)
        return first, second, self._call("row_moments", y, *seen, plain(resp.T), first, second)

    def centres(
        self, y: FloatArray, mean: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        out = np.empty((len(y), self.d))
        failed = self._call("row_centres", y, *self._seen(mean[None], factor[None]), out)
        return mean + out @ factor.T, failed
