r"""Forward substitution, part by part: what is clear from the first columns is not pursued.

With Σ = L Lᵀ and z = L⁻¹ (x − μ), δ = ‖z‖² is a sum over columns, of which the first terms take
the first rows of L alone: a log joint that falls below a level after half of the columns, at a
quarter of the work, need not be known any better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mixtura.arrays.blas import substitute
from mixtura.covariance.form import Guarded
from mixtura.typing import FloatArray

__all__ = ["Substituted", "substitution"]

#: Shares of the columns after which it is seen what is left.
PARTS = (0.5, 0.75, 1.0)


def substitution(factors: FloatArray) -> Callable[[FloatArray, int], FloatArray]:
    """A function that whitens rows (b, d) of differences to component j by its factor."""
    return lambda x, j: substitute(factors[j], np.ascontiguousarray(x))


@dataclass(frozen=True, eq=False)
class Substituted(Guarded):
    """Exact differences, whitened by substitution.

    Attributes
    ----------
    factors : array (k, d, d)
        Lower Cholesky factors, in the dtype of the rows.
    """

    factors: FloatArray

    @classmethod
    def of(cls, means: FloatArray, const: FloatArray, factors: FloatArray) -> Substituted:
        """From means (k, d) about the anchor, log joints (k,) at them and factors (k, d, d)."""
        return cls(means, const, substitution(factors), factors)

    def unless(self, x: FloatArray, j: int, level: FloatArray) -> FloatArray:
        factor, real = self.factors[j], x.dtype.type
        z = x - self.means[j].astype(x.dtype, copy=False)
        joint = np.full(len(x), self.const[j], dtype=x.dtype)
        cuts, left = [0, *(int(share * x.shape[1]) for share in PARTS)], np.arange(len(x))
        for low, high in pairwise(cuts):
            part = np.ascontiguousarray(z[:, low:high])
            if low:
                part -= z[:, :low] @ factor[low:high, :low].T
            substitute(factor[low:high, low:high], part)
            joint[left] -= real(0.5) * np.einsum("ij,ij->i", part, part)
            if high == x.shape[1]:
                break
            z[:, low:high] = part
            above = joint[left] > level[left]
            left, z = left[above], z[above]
        return joint
