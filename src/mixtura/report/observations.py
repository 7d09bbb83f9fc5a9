"""Rows as a table has them: y = x + e in the columns that were observed, e ~ N(0, S) with known S.

Gaps and noise change what a row's density is, log p(y_o) = log Σₖ wₖ N(y_o; μₖₒ, Σₖₒₒ + Sₒₒ), so
every answer about rows goes through this value. It keeps the table's order; a fit gets the rows in
the order that its channel wants.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.fit.ground import arrive
from mixtura.mixture import measured
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["Observations"]

#: Numbers held at a time.
NUMBERS = 4_000_000


@dataclass(frozen=True, eq=False)
class Observations(Rows):
    """Rows that may have gaps and noise.

    ``order`` holds their places in the table, from 0, where some of its rows were left out.

    Attributes
    ----------
    noise : array (n, d), optional
        Variances of the cells' errors; what stands at missing cells does not matter.
    empty : int
        Rows of the table without any value, which were left out.
    errors : tuple of (str or None), optional
        The column that holds each column's errors.
    """

    noise: FloatArray | None = None
    empty: int = 0
    errors: tuple[str | None, ...] | None = None

    @classmethod
    def of(cls, rows: Rows) -> Observations:
        """The rows, as this kind of value."""
        if isinstance(rows, cls):
            return rows
        return cls(**{field.name: getattr(rows, field.name) for field in fields(Rows)})

    @cached_property
    def missing(self) -> FloatArray:
        """Which cells are missing (n, d)."""
        return np.asarray(np.isnan(self.x))

    @cached_property
    def gaps(self) -> bool:
        """Whether any cell is missing."""
        return bool(self.missing.any())

    @property
    def measured(self) -> bool:
        """Whether densities are others than those of whole and exact rows."""
        return self.gaps or self.noise is not None

    @cached_property
    def indirect(self) -> FloatArray:
        """Which rows have gaps or noise (n,)."""
        found = self.missing.any(axis=1)
        if self.noise is not None:
            found |= ((self.noise > 0) & ~self.missing).any(axis=1)
        return np.asarray(found)

    @property
    def numbers(self) -> FloatArray:
        """Numbers of the rows in the table, from 1: (n,)."""
        return np.arange(1, self.n + 1) if self.order is None else self.order + 1

    def take(self, which: Any) -> Observations:
        """Some rows, with their weights and noise."""
        weight = None if self.weight is None else np.asarray(self.weight[which], dtype=np.float64)
        noise = None if self.noise is None else self.noise[which]
        return Observations(
            np.asarray(self.x[which]), weight, order=self.numbers[which] - 1, noise=noise,
            errors=self.errors,
        )  # fmt: skip

    def for_fit(self) -> Rows:
        """The same as a fit takes them.

        Raises
        ------
        InputError
            See ``fit.ground.arrive``.
        """
        if not self.measured:
            return Rows(self.x, self.weight)
        return arrive(self.x, self.weight, self.noise)

    def log_joint(self, mixture: Any, part: slice = slice(None)) -> FloatArray:
        """Log wₖ + log N(y_o; μₖₒ, Σₖₒₒ + Sₒₒ) of some rows: (b, k)."""
        noise = None if self.noise is None else self.noise[part]
        return measured.log_joint(mixture, self.x[part], noise=noise)

    def log_density(self, mixture: Any) -> FloatArray:
        """Log density of what was observed of each row (n,), batch by batch."""
        out = np.empty(self.n)
        size = max(1, NUMBERS // mixture.k)
        for start in range(0, self.n, size):
            part = slice(start, start + size)
            noise = None if self.noise is None else self.noise[part]
            out[part] = measured.log_density(mixture, self.x[part], noise=noise)
        return out

    def noise_of(self, j: int) -> FloatArray | None:
        """Variances of column j's errors (n,), NaN where its cell is missing; None if exact."""
        if self.noise is None:
            return None
        found = np.where(self.missing[:, j], np.nan, self.noise[:, j])
        return found if np.nansum(found) > 0 else None
