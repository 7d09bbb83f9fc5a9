"""The Gaussian mixture as a model under EM: a mixture, the rule that fits its covariances, a floor.

E-step: log rₖ = log wₖ + log N(x; μₖ, Σₖ) − log p(x). M-step: w = N / ΣN, μ = Σ r x / N, and Σ by
the structure from the moments about μ (Dempster, Laird & Rubin 1977). Rows stand about one anchor
and moments are one matrix product, Rᵀ Φ(x), unless the form is guarded: then they are taken about
each component's own mean, so that no digits cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.linalg import cholesky
from mixtura.covariance import Covariance, Floor, Structure
from mixtura.covariance.form import Form, Quadratic
from mixtura.covariance.observed import Observed, observed
from mixtura.covariance.pieces import by_pieces
from mixtura.covariance.pruned import Pruned, principal_axes, stages
from mixtura.errors import IllDefinedCovarianceError, NotPositiveDefiniteError
from mixtura.fit.fused import FusedExpectation, fused
from mixtura.fit.measured import MeasuredView
from mixtura.fit.selection import SelectedView
from mixtura.mixture import Mixture
from mixtura.sources import Rows
from mixtura.statistics import (
    Full,
    Grouped,
    MomentKind,
    Responsibilities,
    Statistics,
)
from mixtura.statistics.responsibilities import CROWDED, active, negligible
from mixtura.typing import FloatArray, View

__all__ = ["GaussianModel", "gather"]

#: float32 rows are computed in float64 beyond this inflation, checked up to so many columns.
SINGLE_INFLATION, CHECKED_COLUMNS = 1e3, 128
#: Variances and squares about the anchor that leave float32 room for their inverses and sums.
SINGLE_RANGE = 1e-24, 1e24
#: Standard deviations from the anchor at which float32 still holds a row to a thousandth of one.
SINGLE_DISTANCE = 1e4
#: Statistics beyond this many bytes are kept once, not once per thread.
SHARED_BYTES = 48 * 2**20
#: Features of a batch up to this size are kept from the E-step for the M-step.
KEPT_BYTES = 3 * 2**20
#: Rows per column from which it pays to find axes in which components are ruled out.
PRUNED_ROWS = 10
#: Columns beyond which the moments of a group are left to BLAS.
SCATTERED_COLUMNS = 192
#: Rows per component in a batch whose moments are taken component by component.
ROWS_EACH = 32


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A mixture in the course of a fit.

    Attributes
    ----------
    weights : array (k,)
    means : array (k, d)
    covariance : Covariance
    structure : Structure
    floor : Floor
    anchor : array (d,)
        Origin of the arithmetic: about the mean of the rows.
    compute : dtype, optional
        Of the arithmetic with rows; None takes that of the rows themselves.
    axes : array (d, r), optional
        Coordinates in which components are ruled out; found when they are first needed.
    """

    weights: FloatArray
    means: FloatArray
    covariance: Covariance
    structure: Structure
    floor: Floor
    anchor: FloatArray
    compute: Any = None
    axes: FloatArray | None = None

    @property
    def k(self) -> int:
        """Number of components."""
        return len(self.weights)

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.means.shape[1])

    @cached_property
    def kind(self) -> MomentKind:
        """The moments that the next M-step needs."""
        return self.structure.kind(self.covariance, self.d)

    @cached_property
    def _kernels(self) -> dict[Any, Any]:
        return {}

    def kernel(self, dtype: Any) -> tuple[Any, Form]:
        """For rows of a dtype, the dtype to compute in and the form of the log joint.

        What is to be computed in float32 is so where its digits suffice, and otherwise, batch by
        batch, in float64.
        """
        key = np.dtype(dtype if self.compute is None else self.compute)
        if key not in self._kernels:
            const, means = self.peaks, self.means - self.anchor
            compute = np.dtype(np.float64) if self._needs_double(key) else key
            form = self.covariance.form(means, const, compute)
            if form.guarded and compute == np.float32:
                wide = self.covariance.form(means, const, np.float64)
                if not wide.guarded:
                    compute, form = np.dtype(np.float64), wide
            self._kernels[key] = (compute, self._pruned(form, means, const, compute))
        return self._kernels[key]  # type: ignore[no-any-return]

    def centred(self, x: FloatArray, dtype: Any = None) -> FloatArray:
        """Rows (b, d) about the anchor, in a dtype: the kernel's where none is given."""
        dtype = self.kernel(x.dtype)[0] if dtype is None else dtype
        if x.dtype == dtype:
            return np.asarray(x - self.anchor.astype(dtype, copy=False))
        return np.asarray((x - self.anchor).astype(dtype))  # in float64 before digits are dropped

    def quickest(self, rows: Rows) -> tuple[Any, Form]:
        """``kernel`` for engines whose rows meet few components, and seldom all of them.

        Where a form leaves entries that are nothing beside others of their row, these are bounds.
        """
        dtype = np.dtype(rows.x.dtype if self.compute is None else self.compute)
        key = "quickest", dtype
        if key not in self._kernels:
            self._kernels[key] = self._sparing(dtype) if compiled.serves(rows.n * self.k) else None
        return self._kernels[key] or self.kernel(rows.x.dtype)

    def _sparing(self, dtype: Any) -> tuple[Any, Form] | None:
        """The structure's form for few components, in float64 where float32 loses digits."""
        means = self.means - self.anchor
        for compute in dict.fromkeys((dtype, np.dtype(np.float64))):
            if self._needs_double(compute):
                continue
            form = self.covariance.sparing_form(means, self.peaks, self.kind, compute)
            if form is not None:
                return compute, form
        return None

    @property
    def peaks(self) -> FloatArray:
        """Log joints (k,) at the means."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights)
        return np.asarray(logs - 0.5 * (self.d * np.log(2 * np.pi) + self.covariance.logdet))

    def _pruned(self, form: Form, means: FloatArray, const: FloatArray, dtype: Any) -> Form:
        """A form that rules components out where there is much to gain."""
        if self.axes is None or type(self.kind) is not Full:
            return form
        widths = stages(self.d, self.k)
        return Pruned.of(form, self.covariance, means, const, dtype, self.axes, widths)

    def _needs_double(self, dtype: Any) -> bool:
        """Whether float32 would lose the moments of nearly collinear columns, or its range."""
        if dtype != np.float32:
            return False
        variance, apart = self.covariance.diagonal(), self.means - self.anchor
        least, most, far = np.empty((3, self.k))

        def piece(part: slice) -> None:
            squares, own = apart[part] ** 2, variance[part]
            least[part], far[part] = own.min(axis=1), (squares / own).max(axis=1)
            squares += own
            most[part] = squares.max(axis=1)

        by_pieces(piece, self.k, self.d)
        if not (least.min() > SINGLE_RANGE[0] and most.max() < SINGLE_RANGE[1]):
            return True
        if far.max() > SINGLE_DISTANCE**2:  # rounded where rows are centred
            return True
        if self.d > CHECKED_COLUMNS:
            return False
        return self.covariance.inflation() > SINGLE_INFLATION

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # kernels are rebuilt

    def components(self, rows: Rows) -> Observed:
        """The components as rows of a channel see them; made once and kept."""
        if "observed" not in self._kernels:
            self._kernels["observed"] = observed(self.means, self.covariance, rows.channel)
        return self._kernels["observed"]  # type: ignore[no-any-return]

    def at(self, rows: Rows) -> View:
        """Hold the model against a batch of rows."""
        view = GaussianView(self, rows) if rows.channel is None else MeasuredView(self, rows)
        return view if rows.selection is None else SelectedView(self, view, rows.selection)

    def ready(self, rows: Rows) -> None:
        """Prepare what all batches of the rows share, before threads ask for it."""
        widths = stages(self.d, self.k)
        whole = rows.channel is None and type(self.kind) is Full
        large = rows.n * self.k >= compiled.LEAST_WORK and rows.n >= PRUNED_ROWS * self.d
        if widths and whole and large and self.axes is None:
            axes = principal_axes(rows.x, widths[-1])
            object.__setattr__(self, "axes", axes)  # kept by the models that follow
        if rows.channel is None:
            self.kernel(rows.x.dtype)

    def fused(self, rows: Rows) -> FusedExpectation | None:
        """The compiled pass over rows that the engine may use; None where there is none."""
        return fused(self, rows)

    def scatters(self, rows: Rows) -> bool:
        """Whether statistics take grouped responsibilities."""
        whole = rows.channel is None and rows.selection is None
        return whole and self.kind.scatters and self.d <= SCATTERED_COLUMNS

    def unseen(self, selection: Any) -> Any:
        """The mass that a selection hides of the components; kept where all rows share a rule."""
        if "factor" not in self._kernels:
            self._kernels["factor"] = cholesky(np.asarray(self.covariance.dense()))
        if not selection.shared:
            return selection.unseen(self.means, self._kernels["factor"])
        if "unseen" not in self._kernels:
            self._kernels["unseen"] = selection.unseen(self.means, self._kernels["factor"])
        return self._kernels["unseen"]

    def maximise(self, stats: Statistics) -> GaussianModel:
        """The M-step.

        Raises
        ------
        IllDefinedCovarianceError
            When a component collapsed and the floor does not recover it.
        """
        self._kernels.clear()  # the old kernel is not needed again, and can be large;
        self.covariance.forget()  # nor are most old factors
        try:
            covariance = self.structure.fit(stats, self.covariance, self.floor)
            covariance.logdet  # noqa: B018
        except (NotPositiveDefiniteError, np.linalg.LinAlgError):  # or numbers beyond range
            raise IllDefinedCovarianceError from None
        mass = stats.mass + 10 * np.finfo(np.float64).eps
        return replace(self, weights=mass / mass.sum(), means=stats.means(), covariance=covariance)

    def penalty(self) -> float:
        """What the structure adds to the log-likelihood, in nats."""
        return self.structure.penalty(self.covariance)

    @property
    def n_parameters(self) -> int:
        """Free parameters: weights, means and covariances."""
        return self.structure.count(self.covariance) + self.k * self.d + self.k - 1

    def take(self, components: Any) -> GaussianModel:
        """Some components, with weights renormalised."""
        weights = self.weights[components]
        return replace(
            self,
            weights=weights / weights.sum(),
            means=self.means[components],
            covariance=self.covariance.take(components),
        )

    def row_bytes(self, rows: Rows) -> int:
        """Bytes of working memory that one row of a batch takes."""
        if rows.channel is not None:
            return 8 * (int(rows.x.shape[1]) + self.components(rows).row_floats(rows.channel))
        dtype, form = self.kernel(rows.x.dtype)
        return int(dtype.itemsize * form.row_floats(self.d, self.k))

    def least_rows(self, rows: Rows) -> int:
        """Rows that a batch should have, so that work per component does not weigh."""
        if rows.channel is not None:
            return 256
        least = int(self.kernel(rows.x.dtype)[1].least_rows)
        return max(least, ROWS_EACH * self.k) if self.kind.by_component else least

    @property
    def concurrent(self) -> bool:
        """Whether every thread may hold statistics of its own."""
        return 8 * self.k * self.kind.size(self.d) <= SHARED_BYTES

    def mixture(self, columns: Any = None) -> Mixture:
        """The value."""
        names = None if columns is None else tuple(str(c) for c in columns)
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights)
        return Mixture._from_log_weights(logs, self.means, self.covariance, names)


class GaussianView:
    """A model held against one batch."""

    def __init__(self, model: GaussianModel, rows: Rows) -> None:
        self._model = model
        self._form = form = model.kernel(rows.x.dtype)[1]
        self._x = model.centred(rows.x)
        # The features of the E-step are the M-step's too, where both are of one kind.
        self._features = None
        if isinstance(form, Quadratic) and form.feature_bytes(len(self._x)) <= KEPT_BYTES:
            self._features = form.features(self._x)

    @property
    def log_joint(self) -> FloatArray:
        """Log wₖ + log N(x; μₖ, Σₖ): (b, k)."""
        if isinstance(self._form, Quadratic) and self._features is not None:
            return self._form.log_joint_of(self._features)
        return self._form.log_joint(self._x)

    def statistics(self, resp: Responsibilities) -> Statistics:
        """Sufficient statistics under responsibilities (b, k), row weights included."""
        model = self._model
        form = self._form
        if isinstance(resp, Grouped):
            return self._scattered(resp)
        quadratic = isinstance(form, Quadratic) and type(form.kind) is type(model.kind)
        if quadratic and self._features is not None:
            moments = np.asarray(resp.T @ self._features, dtype=np.float64)
            d, mass = model.d, moments[:, -1]
            first, second = moments[:, -d - 1 : -1], moments[:, : -d - 1]
            return Statistics(mass, mass.copy(), first, second, model.anchor[None], model.kind)
        apart = form.guarded or (model.kind.by_component and _sparse(resp))
        own = model.means - model.anchor if apart else None
        return gather(self._x, resp, model.kind, model.anchor, own)

    def _scattered(self, resp: Grouped) -> Statistics:
        """The same of responsibilities that matter alone."""
        model, anchor = self._model, self._model.anchor[None]
        own = None
        if self._form.guarded:
            own = (model.means - model.anchor).astype(self._x.dtype)
            anchor = model.anchor + own.astype(np.float64)
        mass, first, second = model.kind.scatter(self._x, resp, own)
        return Statistics(mass, mass.copy(), first, second, anchor, model.kind)


def _sparse(resp: FloatArray) -> bool:
    return bool(np.count_nonzero(resp > negligible(resp)) <= CROWDED * resp.size)


def gather(
    x: FloatArray,
    resp: FloatArray,
    kind: MomentKind,
    anchor: FloatArray,
    own: FloatArray | None = None,
) -> Statistics:
    """Statistics of rows x (b, d), which stand about ``anchor`` (d,).

    Parameters
    ----------
    own : array (k, d), optional
        Anchors of the components, relative to ``anchor``: moments are then taken about them.
    """
    mass = resp.sum(axis=0, dtype=np.float64)
    if own is None:
        first = np.asarray(resp.T @ x, dtype=np.float64)
        return Statistics(mass, mass.copy(), first, kind.gather(resp, x), anchor[None], kind)
    k, d = own.shape
    near = own.astype(x.dtype)
    first, second = np.zeros((k, d)), np.zeros((1 if kind.pooled else k, kind.size(d)))
    for j, rows in active(resp, negligible(resp)):
        r, diff = resp[rows, j], x[rows]
        diff -= near[j]
        first[j] = r @ diff
        second[0 if kind.pooled else j] += kind.gather_one(r, diff, j)
    return Statistics(mass, mass.copy(), first, second, anchor + near.astype(np.float64), kind)
