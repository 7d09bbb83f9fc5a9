r"""Exact differences for those components alone that a row may belong to.

Quadratic features lose digits where a component is narrow against the spread of the whole, yet
they tell which components are far: a log joint that rounding leaves uncertain by ε, and that lies
more than ``REACH`` + 2ε below the greatest of its row, is of a component with next to no share in
the row. The others are evaluated again by the guarded form. ε is the bound of a sum's rounding
error (Higham 2002, section 3.1), from the row's own numbers:

    ε = 4 d u Σᵢ maxₖ Θₖᵢ (xᵢ² + maxₖ μₖᵢ²),    u the unit roundoff,

so that rows far from everything are evaluated exactly with every component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtura.covariance.form import Form, Guarded
from mixtura.statistics.responsibilities import active
from mixtura.typing import FloatArray

__all__ = ["Screened"]

#: Nats below the greatest log joint of a row, beyond which a component is taken for far.
REACH = 40.0
#: Screening begins where rounding is expected to leave less than so many nats in doubt.
DOUBT = 1.0
#: Rows that go through together.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Screened(Form):
    """A fast form in float64 that screens, and a guarded one that answers.

    Attributes
    ----------
    exact : Guarded
    rough : Form
    doubt : array (d,)
        ε of a row is ``least`` + Σ doubtᵢ xᵢ².
    least : float
    """

    exact: Guarded
    rough: Form
    doubt: FloatArray
    least: float
    guarded = True

    @classmethod
    def of(
        cls, exact: Guarded, rough: Form, theta: FloatArray, spread: FloatArray
    ) -> Screened | Guarded:
        """The screened form, or the guarded one alone where screening would keep too much.

        Parameters
        ----------
        theta : array (k, d)
            Coefficients of x² in δ.
        spread : array (d,)
            Mean squares about the anchor that are to be expected.
        """
        doubt = 4 * len(spread) * np.finfo(np.float64).eps * theta.max(axis=0)
        least = float(doubt @ (exact.means**2).max(axis=0))
        if not least + doubt @ spread <= DOUBT:
            return exact
        return cls(exact, rough, doubt, least)

    def log_joint(self, x: FloatArray) -> FloatArray:
        joint = np.empty((len(x), len(self.exact.const)))
        near = np.empty(joint.shape, dtype=bool)
        for low in range(0, len(x), BLOCK):
            cut = slice(low, low + BLOCK)
            rows = x[cut].astype(np.float64, copy=False)
            found = joint[cut] = self.rough.log_joint(rows)
            doubt = self.least + (rows * rows) @ self.doubt
            far = found < (found.max(axis=1) - REACH - 2 * doubt)[:, None]
            np.logical_not(far, out=near[cut])  # what is not a number is not far
        for j, inside in active(near, 0.5):
            z = x[inside]
            z -= self.exact.means[j].astype(x.dtype, copy=False)
            z = self.exact.whiten(z, j)
            joint[inside, j] = self.exact.const[j] - 0.5 * np.einsum("ij,ij->i", z, z)
        return joint.astype(x.dtype, copy=False)

    def among(self, components: FloatArray) -> Form:
        return self.exact.among(components)

    def row_floats(self, d: int, k: int) -> int:
        return self.exact.row_floats(d, k) + self.rough.row_floats(d, k)
