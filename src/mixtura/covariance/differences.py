r"""The form of factor analysers in single precision: differences x − μₖ, which lose no digits.

Rows that meet few components are evaluated by compiled code, ``arrays.factors``. Where they are
to meet all, most components are ruled out first: for any columns S

    log wₖ + log N(x; μₖ, Σₖ) ≤ cₖ − ½ (x − μₖ)_Sᵀ (Σₖ,SS)⁻¹ (x − μₖ)_S,

cₖ the log joint at the mean, and the right-hand side is a form of factor analysers in few columns.
It is raised by what rounding may have taken from it, as in ``screened``. A component whose bound
lies far enough below the log joint of another is nothing beside it, and its entry is the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.covariance.form import Form
from mixtura.typing import FloatArray

__all__ = ["Differences"]

#: Rows whose differences a kernel keeps at hand.
TILE = 64
#: Σ Θᵢ Σᵢᵢ beyond which digits are lost where squares of the factors are taken from those of the
#: columns. At 3e5 log joints of a component's rows were wrong by 4e-3, and of all by 1e-4.
SAFE = 1e6
#: Share of the columns that is in a bound, and by what multiples they are chosen.
SHARE, GOLDEN = 1 / 6, (5**0.5 - 1) / 2
#: Log joints so far below a row's largest are left as bounds.
CUT = 21.0
#: Share of entries above which all are evaluated.
CROWDED = 0.4
#: Components of the largest guesses, among which a row's most probable ones are looked for.
LEADING = 16


@dataclass(frozen=True, eq=False)
class Differences(Form):
    """Exact differences in float32, by compiled code.

    Attributes
    ----------
    covariance : LowRankCovariance
    means : array (k, d) of float32
        About the anchor.
    theta, factors : arrays (k, d), (k, r, d) of float32
        ½ Θ and Uᵀ / √2, with Σ⁻¹ = diag(Θ) − U Uᵀ.
    const : array (k,) of float32
        Log joints at the means.
    """

    covariance: Any
    means: FloatArray
    theta: FloatArray
    factors: FloatArray
    const: FloatArray
    guarded = True
    blocked = True
    least_rows = 1024

    @classmethod
    def of(cls, covariance: Any, means: FloatArray, const: FloatArray) -> Differences | None:
        """From a low-rank covariance, means (k, d) about the anchor and log joints at them.

        None where the parts of a distance would cancel in float32.
        """
        noise, d = covariance.noise, covariance.d
        if np.einsum("kd,kd->k", covariance.diagonal(), 1 / noise).max() > SAFE:
            return None
        factors = np.empty((covariance.k, covariance.rank, d), dtype=np.float32)
        loadings = covariance._precision_loadings()
        np.multiply(loadings.swapaxes(1, 2), np.sqrt(0.5), out=factors, casting="same_kind")
        theta = np.divide(0.5, noise).astype(np.float32)
        kept = [np.ascontiguousarray(a, dtype=np.float32) for a in (means, const)]
        return cls(covariance, kept[0], theta, factors, kept[1])

    # ---- few components for each row -------------------------------------------------------------
    def blocks(
        self,
        x: FloatArray,
        rows: FloatArray,
        anchor: FloatArray,
        starts: FloatArray,
        lists: FloatArray,
    ) -> FloatArray:
        """Log joints (b, c) of rows with the components of their block's list.

        Parameters
        ----------
        x : array (n, d) of float32
        rows : array (b,) of int32
            Block a has ``rows[starts[a]:starts[a + 1]]``.
        anchor : array (d,) of float32
            Subtracted from rows.
        lists : array (m, c) of int32
        """
        joint = np.empty((len(rows), lists.shape[1]), dtype=np.float32)
        run = compiled.kernel("factors.blocks")
        run(x, rows, starts, lists, anchor, *self._tables, *self._room(), joint)
        return joint

    def moments(
        self,
        j: int,
        x: FloatArray,
        rows: FloatArray,
        anchor: FloatArray,
        values: FloatArray,
        basis: FloatArray,
        first: FloatArray,
        second: FloatArray,
    ) -> float:
        """Add the first and projected moments of rows about the mean of component j.

        Parameters
        ----------
        values : array (b,) of float32
            Weights of the rows, whose sum is returned.
        basis : array (d, r)
            Of ``Projected`` moments.
        first, second : arrays (d,), (f,)
        """
        factors = np.ascontiguousarray(basis.T, dtype=np.float32)
        near, _ = self._room()
        part = np.empty((len(factors) + 2, len(first)), dtype=np.float32)
        run = compiled.kernel("factors.moments")
        mean = self.means[j]
        return float(run(x, rows, values, anchor, mean, factors, near, part, first, second))

    # ---- all components --------------------------------------------------------------------------
    @cached_property
    def _some(self) -> FloatArray:
        """The columns of bounds: spread evenly, but not in step with rows of a picture."""
        return np.flatnonzero(np.arange(self.means.shape[1]) * GOLDEN % 1 < SHARE)

    @cached_property
    def _bound(self) -> tuple[Form, FloatArray, float]:
        """The form in those columns, and what rounding may take from it: least + Σ doubtᵢ xᵢ²."""
        part, means = self.covariance.select(self._some), self.means[:, self._some]
        form = part.form(means.astype(np.float64), self.const, np.float32, guarded=False)
        doubt = 4 * part.d * np.finfo(np.float32).eps * (1 / part.noise).max(axis=0)
        return form, doubt.astype(np.float32), float(doubt @ (means**2).max(axis=0))

    def _bounds(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds (b, k) of log joints, and guesses: as if all columns were like those."""
        form, doubt, least = self._bound
        some = np.take(x, self._some, axis=1)
        bounds = form.log_joint(some)
        guesses = (bounds - self.const) * np.float32(x.shape[1] / len(self._some))
        guesses += self.const
        bounds += ((some * some) @ doubt + np.float32(least))[:, None]
        return bounds, guesses

    def log_joint(self, x: FloatArray) -> FloatArray:
        joint, guesses = self._bounds(x)
        b, k = joint.shape
        known = guesses.argmax(axis=1).astype(np.int32)
        self._evaluate(x, known[:, None], joint)
        level = joint[np.arange(b), known] - np.float32(CUT)
        rows, bounds = np.empty(int(CROWDED * b * k), dtype=np.int32), np.empty(k + 1, np.int64)
        if compiled.kernel("candidates.above")(joint, level, known, rows, bounds) < 0:
            rows, bounds = np.tile(np.arange(b, dtype=np.int32), k), b * np.arange(k + 1)
        self._pairs(x, rows, bounds, joint)
        return joint

    def leading(self, x: FloatArray) -> FloatArray:
        _, guesses = self._bounds(x)
        few = min(LEADING, guesses.shape[1])
        best = np.argpartition(-guesses, few - 1, axis=1)[:, :few]
        joint = np.full(guesses.shape, -np.inf, dtype=np.float32)
        self._evaluate(x, best, joint)
        return joint

    def _evaluate(self, x: FloatArray, components: FloatArray, joint: FloatArray) -> None:
        """Write the log joints of rows with components (b, c) of their own."""
        order = np.argsort(components, axis=None, kind="stable")
        bounds = np.zeros(joint.shape[1] + 1, dtype=np.int64)
        np.cumsum(np.bincount(components.ravel(), minlength=joint.shape[1]), out=bounds[1:])
        self._pairs(x, (order // components.shape[1]).astype(np.int32), bounds, joint)

    def _pairs(
        self, x: FloatArray, rows: FloatArray, bounds: FloatArray, joint: FloatArray
    ) -> None:
        """Write the log joints of rows that are grouped by component."""
        anchor = np.zeros(x.shape[1], dtype=np.float32)
        run = compiled.kernel("factors.pairs")
        run(x, rows, bounds, anchor, *self._tables, *self._room(), joint)

    @property
    def _tables(self) -> tuple[FloatArray, ...]:
        return self.means, self.theta, self.factors, self.const

    def _room(self) -> tuple[FloatArray, FloatArray]:
        """Working memory of a kernel."""
        d = self.means.shape[1]
        return np.empty((TILE, d), dtype=np.float32), np.empty((4, d), dtype=np.float32)

    def row_floats(self, d: int, k: int) -> int:
        return d + 2 * k
