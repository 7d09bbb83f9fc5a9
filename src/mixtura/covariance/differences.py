r"""The form of factor analysers by compiled code: differences x − μₖ, which lose no digits.

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
from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.covariance.form import Form
from mixtura.covariance.pruned import CUT
from mixtura.typing import FloatArray

__all__ = ["Differences"]

#: Rows whose differences a kernel keeps at hand.
TILE = 64
#: Σ Θᵢ Σᵢᵢ beyond which digits are lost where squares of the factors are taken from those of the
#: columns. At 3e5 log joints of a component's rows were wrong by 4e-3 in single precision, and of
#: all by 1e-4.
SAFE = {np.dtype(np.float32): 1e6, np.dtype(np.float64): 1e13}
#: Share of the columns that is in a bound, and by what multiples they are chosen.
SHARE, GOLDEN = 1 / 6, (5**0.5 - 1) / 2
#: Share of entries above which all are evaluated.
CROWDED = 0.4
#: Components of the largest guesses, among which a row's most probable ones are looked for.
LEADING = 16


@dataclass(frozen=True, eq=False)
class Differences(Form):
    """Exact differences, by compiled code, in the dtype of the tables.

    Attributes
    ----------
    covariance : LowRankCovariance
    means : array (k, d)
        About the anchor.
    theta, factors : arrays (k, d), (k, r, d)
        ½ Θ and Uᵀ / √2, with Σ⁻¹ = diag(Θ) − U Uᵀ.
    const : array (k,)
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
    def of(
        cls, covariance: Any, means: FloatArray, const: FloatArray, dtype: Any
    ) -> Differences | None:
        """From a low-rank covariance, means (k, d) about the anchor and log joints at them.

        None where the parts of a distance would cancel in that dtype.
        """
        solved, noise = covariance._solved, covariance.noise
        if not solved.inflation.max() <= SAFE[np.dtype(dtype)]:
            return None
        run, u = compiled.kernel("factorsteps.tabled"), np.ascontiguousarray(solved.u)
        theta, factors = np.empty(noise.shape, dtype), np.empty(u.shape, dtype)

        def span(low: int, high: int) -> None:
            run(noise[low:high], u[low:high], theta[low:high], factors[low:high])

        map_spans(span, covariance.k, n_workers())
        kept = [np.ascontiguousarray(a, dtype=dtype) for a in (means, const)]
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
        x : array (n, d)
            C-ordered.
        rows : array (b,) of int32
            Block a has ``rows[starts[a]:starts[a + 1]]``.
        anchor : array (d,) of float64
            Subtracted from rows.
        lists : array (m, c) of int32
        """
        joint = np.empty((len(rows), lists.shape[1]), dtype=self.dtype)
        run, anchor = compiled.kernel("factors.blocks"), self._anchor(x, anchor)
        run(x, rows, starts, lists, anchor, *self._tables, *self._room(4), joint)
        return joint

    def moments(
        self,
        span: tuple[int, int],
        x: FloatArray,
        rows: FloatArray,
        bounds: FloatArray,
        values: FloatArray,
        anchor: FloatArray,
        basis: FloatArray,
        sums: tuple[FloatArray, FloatArray, FloatArray],
    ) -> None:
        """Add the mass, first and projected moments of rows about the means of a span's components.

        Parameters
        ----------
        span : tuple of int
            The first component, and the one behind the last.
        bounds : array (k + 1,) of int
            Component j has ``rows[bounds[j]:bounds[j + 1]]`` and as many ``values``, weights in the
            dtype of the form.
        basis : array (k or 1, d, r)
            Of ``Projected`` moments.
        sums : arrays (k,), (k, d), (k, f)
        """
        factors = np.ascontiguousarray(basis.swapaxes(1, 2))
        run, anchor = compiled.kernel("factors.moments"), self._anchor(x, anchor)
        room = self._room(2 * factors.shape[1] + 2)
        run(*span, x, rows, bounds, values, anchor, self.means, factors, *room, *sums)

    # ---- all components --------------------------------------------------------------------------
    @cached_property
    def _some(self) -> FloatArray:
        """The columns of bounds: spread evenly, but not in step with rows of a picture."""
        return np.flatnonzero(np.arange(self.means.shape[1]) * GOLDEN % 1 < SHARE)

    @cached_property
    def _bound(self) -> tuple[Form, FloatArray, float]:
        """The form in those columns, and what rounding may take from it: least + Σ doubtᵢ xᵢ²."""
        part, means = self.covariance.select(self._some), self.means[:, self._some]
        dtype = self.dtype
        form = part.form(means.astype(np.float64), self.const, dtype, guarded=False)
        doubt = 4 * part.d * np.finfo(dtype).eps * (1 / part.noise).max(axis=0)
        return form, doubt.astype(dtype), float(doubt @ (means**2).max(axis=0))

    def _bounds(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds (b, k) of log joints, and guesses: as if all columns were like those."""
        form, doubt, least = self._bound
        some = np.take(x, self._some, axis=1)
        bounds = form.log_joint(some)
        guesses = (bounds - self.const) * self.dtype.type(x.shape[1] / len(self._some))
        guesses += self.const
        bounds += ((some * some) @ doubt + self.dtype.type(least))[:, None]
        return bounds, guesses

    def log_joint(self, x: FloatArray) -> FloatArray:
        joint, guesses = self._bounds(x)
        b, k = joint.shape
        known = guesses.argmax(axis=1).astype(np.int32)
        self._evaluate(x, known[:, None], joint)
        level = joint[np.arange(b), known] - self.dtype.type(CUT[self.dtype])
        rows, bounds = np.empty(int(CROWDED * b * k), dtype=np.int32), np.empty(k + 1, np.int64)
        if compiled.kernel("candidates.above")(joint, level, known, rows, bounds) < 0:
            rows, bounds = np.tile(np.arange(b, dtype=np.int32), k), b * np.arange(k + 1)
        self._pairs(x, rows, bounds, joint)
        return joint

    def leading(self, x: FloatArray) -> FloatArray:
        _, guesses = self._bounds(x)
        few = min(LEADING, guesses.shape[1])
        best = np.argpartition(-guesses, few - 1, axis=1)[:, :few]
        joint = np.full(guesses.shape, -np.inf, dtype=self.dtype)
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
        run, anchor = compiled.kernel("factors.pairs"), np.zeros(x.shape[1], dtype=self.dtype)
        run(x, rows, bounds, anchor, *self._tables, *self._room(4), joint)

    @property
    def dtype(self) -> Any:
        """Of the arithmetic."""
        return self.means.dtype

    def _anchor(self, x: FloatArray, anchor: FloatArray) -> FloatArray:
        """In the wider of both dtypes: float64 loses digits after the subtraction, not before."""
        return anchor.astype(np.result_type(x, self.dtype))

    @property
    def _tables(self) -> tuple[FloatArray, ...]:
        return self.means, self.theta, self.factors, self.const

    def _room(self, vectors: int) -> tuple[FloatArray, FloatArray]:
        """Working memory of a kernel: a tile of rows, and some vectors."""
        d = self.means.shape[1]
        return np.empty((TILE, d), dtype=self.dtype), np.empty((vectors, d), dtype=self.dtype)

    def row_floats(self, d: int, k: int) -> int:
        return d + 2 * k
