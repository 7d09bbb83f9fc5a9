"""How rows were measured: y = A x + e, with e Gaussian and independent of x.

``Diagonal(s)`` measures every cell with its own variance s in [0, ∞]: 0 is exact, ∞ is missing.
``Linear(A, S)`` measures p combinations with noise covariance S (p, p).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mixtura.arrays.namespace import to_numpy
from mixtura.typing import Array, FloatArray

__all__ = ["Channel", "Diagonal", "Linear"]


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Independent noise per cell.

    Attributes
    ----------
    variance : array (d,)
        Noise variance of each column: 0 exact, inf missing.
    common : array (), optional
        The one variance of all columns, where they share it by construction and not by chance.
    seen : array of int, optional
        Positions of the columns that are not missing, where they are known beforehand.
    """

    variance: Array
    common: Array | None = None
    seen: FloatArray | None = None

    @property
    def observed(self) -> FloatArray:
        """Positions of the columns of which anything is known."""
        if self.seen is not None:
            return self.seen
        return np.flatnonzero(np.isfinite(to_numpy(self.variance)))


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear operator A (p, d) and the covariance S (p, p) of the noise."""

    operator: Array
    noise: Array


Channel: TypeAlias = Diagonal | Linear
