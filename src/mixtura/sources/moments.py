"""Masses, means and variances of columns, from rows that come in parts.

They stand about the first row, and those of parts are merged about their means (Chan, Golub &
LeVeque 1983): with masses a and b, means that differ by δ and sums of squares S,

    S = S_a + S_b + δ² a b / (a + b),

so that nothing cancels.
"""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["Moments"]


class Moments:
    """Masses, means and sums of squares of columns, about the first cells."""

    def __init__(self, d: int) -> None:
        self.mass, self._mean, self._squares = np.zeros(d), np.zeros(d), np.zeros(d)
        self._shift: FloatArray | None = None

    def add(self, x: FloatArray, weight: FloatArray | None, gaps: FloatArray | None = None) -> None:
        """More rows (b, d), of which some cells may be missing."""
        if self._shift is None:
            first = x[0] if gaps is None else x[np.argmin(gaps, axis=0), np.arange(x.shape[1])]
            self._shift = np.nan_to_num(first.astype(np.float64))
        part = x - self._shift
        w = np.ones(len(x)) if weight is None else weight
        mass: FloatArray = np.full(x.shape[1], w.sum())
        if gaps is not None:
            part[gaps] = 0.0
            mass = w @ ~gaps
        over = np.where(mass > 0, mass, 1.0)
        centre = w @ part / over
        part -= centre
        if gaps is not None:
            part[gaps] = 0.0
        rest = w @ part / over  # what rounding left of the mean
        part *= part
        spread = w @ part - mass * rest**2
        both = self.mass + mass
        over = np.where(both > 0, both, 1.0)
        delta = centre + rest - self._mean
        self._mean = self._mean + delta * (mass / over)
        self._squares = self._squares + spread + delta**2 * (self.mass * mass / over)
        self.mass = both

    def mean(self) -> FloatArray:
        """Means (d,)."""
        return self._mean if self._shift is None else self._shift + self._mean

    def variance(self) -> FloatArray:
        """Variances (d,)."""
        return np.asarray(self._squares / self.mass)
