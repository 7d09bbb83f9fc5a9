r"""Exact pruning: most components of most rows are ruled out in a few coordinates.

For any linear map P the squared Mahalanobis distance of P x under the image of a Gaussian is at
most that of x, so that

    log wₖ + log N(x; μₖ, Σₖ) ≤ cₖ − ½ (Px − Pμₖ)ᵀ (P Σₖ Pᵀ)⁻¹ (Px − Pμₖ),

cₖ the log joint at the mean. In the first r principal axes of all rows the bound costs r² instead
of d². A component whose bound lies far enough below another's log joint for its responsibility to
be nothing is not evaluated: its entry is the bound. Stages of growing r rule out more, and what is
left is evaluated whole. Where too much is left, everything is evaluated by the form itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from mixtura.arrays import compiled
from mixtura.covariance.form import Form, Guarded
from mixtura.statistics.responsibilities import active
from mixtura.typing import FloatArray

__all__ = ["Pruned", "principal_axes", "stages"]

#: Log joints so far below a row's largest are left as bounds, which are below that themselves.
CUT = {np.dtype(np.float64): 37.0, np.dtype(np.float32): 21.0}
#: Share of entries above which the form itself is the cheaper way.
CROWDED = 0.4
#: Rows that tell where all spread most.
SAMPLED = 4096
#: Columns and components from which bounds repay themselves.
LEAST_COLUMNS, LEAST_COMPONENTS = 40, 16


def stages(d: int, k: int) -> tuple[int, ...]:
    """Coordinates of the bounds that are worth their cost; none for few columns or components."""
    if d < LEAST_COLUMNS or k < LEAST_COMPONENTS:
        return ()
    return (d // 4,) if d <= 192 else (d // 12, d // 4)


def principal_axes(x: FloatArray, r: int) -> FloatArray:
    """The r principal axes (d, r) of rows x (n, d), of a few thousand of them, widest first."""
    some = x[:: max(1, len(x) // SAMPLED)].astype(np.float64)
    some -= some.mean(axis=0)
    d = x.shape[1]
    _, vectors = eigh(some.T @ some, subset_by_index=(d - r, d - 1))
    return np.ascontiguousarray(vectors[:, ::-1])


@dataclass(frozen=True, eq=False)
class Pruned(Form):
    """A form whose negligible entries are upper bounds.

    Attributes
    ----------
    whole : Form
        Evaluates everything.
    exact : Guarded
        Evaluates some rows under one component.
    axes : array (d, r)
        Of the last stage; the earlier ones take its first columns.
    first : Form
        The bound of all components in the first coordinates.
    width : int
        How many those are.
    second : Guarded, optional
        The bound in all r coordinates.
    whiteners : array (k, d, d), optional
        For compiled code, which then evaluates what is left.
    """

    whole: Form
    exact: Guarded
    axes: FloatArray
    first: Form
    width: int
    second: Guarded | None = None
    whiteners: FloatArray | None = None
    least_rows = 4096

    @property
    def guided(self) -> bool:  # type: ignore[override]
        """Whether a guess is of use: compiled code finds the best by itself."""
        return self.whiteners is None

    @classmethod
    def of(
        cls,
        whole: Form,
        covariance: Any,
        means: FloatArray,
        const: FloatArray,
        dtype: Any,
        axes: FloatArray,
        widths: tuple[int, ...],
    ) -> Pruned:
        """From a form and the components that it evaluates; ``means`` about the anchor."""
        image = covariance.linear(np.ascontiguousarray(axes.T))
        mapped = means @ axes
        second = None
        if len(widths) > 1:
            second = image.form(mapped, const, dtype, guarded=True)
        narrow = image if len(widths) == 1 else image.select(range(widths[0]))
        first = narrow.form(np.ascontiguousarray(mapped[:, : widths[0]]), const, dtype)
        exact = whole
        if not isinstance(exact, Guarded):
            exact = Guarded(means, const, covariance.row_whitener(dtype))
        whiteners = None
        if second is None and compiled.serves(compiled.LEAST_WORK):
            eye = np.broadcast_to(np.eye(len(axes)), (len(const), len(axes), len(axes)))
            whiteners = np.swapaxes(covariance.whiten(eye), 1, 2).astype(dtype, order="C")
        return cls(whole, exact, axes.astype(dtype), first, widths[0], second, whiteners)

    @property
    def guarded(self) -> bool:  # type: ignore[override]
        """Whether the whole form is guarded."""
        return self.whole.guarded

    def log_joint(self, x: FloatArray, guess: FloatArray | None = None) -> FloatArray:
        mapped = x @ self.axes
        joint = self.first.log_joint(np.ascontiguousarray(mapped[:, : self.width]))
        if self.whiteners is not None:
            return self._compiled(x, joint, self.whiteners)
        each, cut = np.arange(len(x)), CUT[np.dtype(x.dtype)]
        known = np.zeros(joint.shape, dtype=bool)
        best = joint.argmax(axis=1) if guess is None else guess
        level = self._settle(x, each, best, joint, known) - cut
        needed = (joint > level[:, None]) & ~known
        if self.second is not None:
            _evaluate(self.second, mapped, needed, level, joint)
            needed &= joint > level[:, None]
            rest = np.flatnonzero(needed.any(axis=1))
            if guess is None:  # the first choice is wrong for a row in four
                best = np.where(needed[rest], joint[rest], -np.inf).argmax(axis=1)
                better = self._settle(x, rest, best, joint, known) - cut
                level[rest] = np.maximum(level[rest], better)
                needed &= (joint > level[:, None]) & ~known
        if np.count_nonzero(needed) > CROWDED * needed.size:
            return self.whole.log_joint(x)
        _evaluate(self.exact, x, needed, level, joint)
        return joint

    def _compiled(self, x: FloatArray, joint: FloatArray, whiteners: FloatArray) -> FloatArray:
        """``log_joint`` from the bounds of one stage, by compiled code."""
        b, k = joint.shape
        rows, bounds = np.empty(b, dtype=np.int32), np.empty(k + 1, dtype=np.int64)
        known = np.empty(b, dtype=np.int32)
        means, const = self.exact.means.astype(x.dtype), self.exact.const.astype(x.dtype)
        evaluate = compiled.kernel("candidates.evaluate")
        compiled.kernel("candidates.best")(joint, known, rows, bounds)
        evaluate(x, means, whiteners, const, rows, bounds, joint)
        level = joint[np.arange(b), known] - x.dtype.type(CUT[np.dtype(x.dtype)])
        rows = np.empty(int(CROWDED * b * k), dtype=np.int32)
        if compiled.kernel("candidates.above")(joint, level, known, rows, bounds) < 0:
            return self.whole.log_joint(x)
        evaluate(x, means, whiteners, const, rows, bounds, joint)
        return joint

    def _settle(
        self,
        x: FloatArray,
        rows: FloatArray,
        components: FloatArray,
        joint: FloatArray,
        known: FloatArray,
    ) -> FloatArray:
        """Evaluate one component of each of some rows; their log joints."""
        order = np.argsort(components, kind="stable")
        ends = np.searchsorted(components[order], np.arange(joint.shape[1] + 1))
        for j in np.flatnonzero(np.diff(ends)):
            picked = rows[order[ends[j] : ends[j + 1]]]
            joint[picked, j] = self.exact.one(x[picked], j)
        known[rows, components] = True
        return np.asarray(joint[rows, components])

    def among(self, components: FloatArray) -> Form:
        return self.whole.among(components)

    def row_floats(self, d: int, k: int) -> int:
        return 2 * d + 4 * k


def _evaluate(
    form: Guarded, x: FloatArray, needed: FloatArray, level: FloatArray, joint: FloatArray
) -> None:
    """Write the log joints that are needed, or bounds below the rows' levels."""
    for j, rows in active(needed, 0.5):
        joint[rows, j] = form.unless(x[rows], j, level[rows])
