r"""Additive sufficient statistics of a mixture's components.

N = Σ r (mass), W = Σ r u (weight; u = 1 for Gaussian components), m = Σ r u (x − a) and a packed
second moment of the same deviations, about an anchor a per component (or one for all).
A batch is a sum; ``+`` moves the right operand to the left one's anchor first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.statistics.kinds import MomentKind
from mixtura.typing import FloatArray

__all__ = ["Statistics"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sufficient statistics of k components in d columns.

    Attributes
    ----------
    mass : array (k,)
        Σ r, with the rows' weights in r.
    weight : array (k,)
        Σ r u, the divisor of means.
    first : array (k, d)
        Σ r u (x − anchor).
    second : array (k, f), or (1, f) where the kind pools components
        Packed second moments about the anchor.
    anchor : array (k, d) or (1, d)
    kind : MomentKind
    """

    mass: FloatArray
    weight: FloatArray
    first: FloatArray
    second: FloatArray
    anchor: FloatArray
    kind: MomentKind

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.first.shape[1])

    def about(self, anchor: FloatArray) -> Statistics:
        """The same statistics about another anchor."""
        if anchor is self.anchor:
            return self
        delta = np.broadcast_to(anchor - self.anchor, self.first.shape)
        if not delta.any():
            return replace(self, anchor=anchor)
        scaled = self.weight[:, None] * delta
        # M' = M − (m δᵀ + δ mᵀ) + W δ δᵀ
        second = self.second + self.kind.cross(delta, scaled - 2 * self.first)
        return replace(self, first=self.first - scaled, second=second, anchor=anchor)

    def take(self, components: slice) -> Statistics:
        """Some components, of a kind that does not pool them."""
        return Statistics(
            self.mass[components],
            self.weight[components],
            self.first[components],
            self.second[components],
            self.anchor if len(self.anchor) == 1 else self.anchor[components],
            self.kind.take(components),
        )

    def __add__(self, other: Statistics) -> Statistics:
        other = other.about(self.anchor)
        return replace(
            self,
            mass=self.mass + other.mass,
            weight=self.weight + other.weight,
            first=self.first + other.first,
            second=self.second + other.second,
        )

    def __mul__(self, factor: float) -> Statistics:
        return replace(
            self,
            mass=factor * self.mass,
            weight=factor * self.weight,
            first=factor * self.first,
            second=factor * self.second,
        )

    __rmul__ = __mul__

    def absorb(self, other: Statistics) -> Statistics:
        """``self + other``, reusing this value's memory: for an accumulator that nobody shares."""
        other = other.about(self.anchor)
        for mine, theirs in (
            (self.mass, other.mass),
            (self.weight, other.weight),
            (self.first, other.first),
            (self.second, other.second),
        ):
            np.add(mine, theirs, out=mine)
        return self

    def means(self) -> FloatArray:
        """Means (k, d)."""
        return self.anchor + self.first / self.divisors[0][:, None]

    def central(self) -> FloatArray:
        """Packed second moments about the means, per unit of mass: (k, f) or (1, f)."""
        weight, mass = self.divisors
        delta = self.first / weight[:, None]
        about_mean = self.kind.cross(delta, self.first)
        np.subtract(self.second, about_mean, out=about_mean)
        about_mean /= mass.sum() if self.kind.pooled else mass[:, None]
        return about_mean

    def spread(self) -> Any:
        """``central`` unpacked into the shape that the kind's structures want."""
        return self.kind.unpack(self.central(), self.d)

    @property
    def divisors(self) -> tuple[FloatArray, FloatArray]:
        """Weight and mass (k,), positive for empty components too: divisors of sums."""
        # The same guard as scikit-learn's, so that iterates agree.
        least = 10 * np.finfo(np.float64).eps
        return self.weight + least, self.mass + least
