r"""What a structure compiles to: kernels know a ``Form``, never a structure.

A form evaluates log joints of centred rows x for all k components,

    log wₖ + log N(x; μₖ, Σₖ) = constₖ − ½ δₖ,    δ = Φ(x) Θᵀ + x Λᵀ + γ − ‖Uₖᵀ x‖²

with Φ the packed second-order features of a moment kind. Structures whose Θ says it all (full,
diagonal, isotropic) are one product of the features (Φ, x, 1) with one matrix of coefficients
(``Quadratic``), and the M-step's moments are the transposed product; low-rank structures alone have
the term in U (``Factored``, in a file of its own).
Quadratic features lose digits where a component is narrow against the spread of the whole; there
``Guarded`` whitens exact differences x − μₖ component by component instead, and ``Partly`` does so
for the narrow ones alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.statistics import MomentKind
from mixtura.typing import FloatArray

__all__ = ["Chosen", "Form", "Guarded", "Mapped", "Partly", "Quadratic", "are_safe", "is_safe"]


#: Features beyond this size are made and multiplied part by part.
CACHED_BYTES, LEAST_ROWS = 2**20, 256
#: Share of components that must be safe for the others to be evaluated beside a product.
MOSTLY = 0.75


class Form:
    """Log joints of centred rows with every component."""

    #: Whether the M-step must leave common-anchor moments as well.
    guarded = False
    #: Whether ``blocks`` and ``moments`` serve rows that meet few components; see ``differences``.
    blocked = False
    #: Whether ``log_joint`` can be told each row's likely component (b,) as ``guess``.
    guided = False
    #: Batches of fewer rows would be mostly overhead.
    least_rows = 256

    def log_joint(self, x: FloatArray) -> FloatArray:
        """Log wₖ + log N(x; μₖ, Σₖ) (b, k), for rows (b, d) centred at the form's anchor."""
        raise NotImplementedError

    def leading(self, x: FloatArray) -> FloatArray:
        """``log_joint`` for a search: exact where it is large; others may be −∞."""
        return self.log_joint(x)

    def among(self, components: FloatArray) -> Form:
        """The form of some components alone."""
        return Chosen(self, components)

    def row_floats(self, d: int, k: int) -> int:
        """Floating point numbers of working memory per row."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Chosen(Form):
    """Some components of a form that cannot but evaluate all."""

    whole: Form
    components: FloatArray

    def log_joint(self, x: FloatArray) -> FloatArray:
        return np.ascontiguousarray(self.whole.log_joint(x)[:, self.components])

    def row_floats(self, d: int, k: int) -> int:
        return self.whole.row_floats(d, k) + k


@dataclass(frozen=True, eq=False)
class Quadratic(Form):
    """One matrix product on quadratic features.

    Attributes
    ----------
    kind : MomentKind
    coefficients : array (f + d + 1, k)
        Of the features (Φ(x), x, 1) in the log joint.
    """

    kind: MomentKind
    coefficients: FloatArray

    @classmethod
    def of(
        cls,
        kind: MomentKind,
        theta: FloatArray,
        linear: FloatArray,
        gamma: FloatArray,
        const: FloatArray,
        dtype: Any,
    ) -> Quadratic:
        """From Θ (k, f), Λ (k, d), γ (k,) and the constants (k,)."""
        parts = [-0.5 * theta, -0.5 * linear, (const - 0.5 * gamma)[:, None]]
        return cls(kind, np.ascontiguousarray(np.concatenate(parts, axis=1).T, dtype=dtype))

    def features(self, x: FloatArray) -> FloatArray:
        """(Φ(x), x, 1) (b, f + d + 1)."""
        b, d = x.shape
        # Column by column in memory, so that each product runs over many rows.
        out = np.empty((self.coefficients.shape[0], b), dtype=x.dtype).T
        x = np.asfortranarray(x)
        self.kind.features(x, out[:, : -d - 1])
        out[:, -d - 1 : -1] = x
        out[:, -1] = 1
        return out

    def feature_bytes(self, b: int) -> int:
        """Size of the features of b rows."""
        return int(b * self.coefficients.shape[0] * self.coefficients.itemsize)

    def log_joint(self, x: FloatArray) -> FloatArray:
        size = max(LEAST_ROWS, CACHED_BYTES // self.feature_bytes(1))
        if len(x) <= size:
            return self.log_joint_of(self.features(x))
        out = np.empty((len(x), self.coefficients.shape[1]), dtype=x.dtype)
        for low in range(0, len(x), size):
            part = x[low : low + size]
            out[low : low + size] = self.log_joint_of(self.features(part))
        return out

    def log_joint_of(self, features: FloatArray) -> FloatArray:
        """``log_joint`` from features that are at hand."""
        joint: FloatArray = features @ self.coefficients
        return joint

    @cached_property
    def _by_component(self) -> FloatArray:
        return np.ascontiguousarray(self.coefficients.T)

    def among(self, components: FloatArray) -> Quadratic:
        return Quadratic(self.kind, self._by_component[components].T)

    def row_floats(self, d: int, k: int) -> int:
        return int(self.coefficients.shape[0] + 2 * k + 2 * d)


@dataclass(frozen=True, eq=False)
class Guarded(Form):
    """Exact differences, whitened component by component.

    Attributes
    ----------
    means : array (k, d)
        Means about the anchor.
    const : array (k,)
    whiten : callable (rows (b, d), j) -> array (b, q)
        Whitens differences to component j.
    """

    means: FloatArray
    const: FloatArray
    whiten: Callable[[FloatArray, int], FloatArray]
    guarded = True

    def log_joint(self, x: FloatArray) -> FloatArray:
        joint = np.empty((len(self.means), x.shape[0]), dtype=x.dtype)
        for j in range(len(joint)):
            joint[j] = self.one(x, j)
        return np.ascontiguousarray(joint.T)

    def one(self, x: FloatArray, j: Any) -> FloatArray:
        """The log joint (b,) of rows (b, d) with one component."""
        z = self.whiten(x - self.means[j].astype(x.dtype, copy=False), j)
        joint: FloatArray = np.einsum("ij,ij->i", z, z)
        joint *= -0.5
        joint += x.dtype.type(self.const[j])
        return joint

    def unless(self, x: FloatArray, j: Any, level: FloatArray) -> FloatArray:
        """``one``, or for a row whose log joint is below its level (b,) anything between them."""
        return self.one(x, j)

    def among(self, components: FloatArray) -> Guarded:
        whiten = self.whiten
        return Guarded(
            self.means[components], self.const[components], lambda x, j: whiten(x, components[j])
        )

    def row_floats(self, d: int, k: int) -> int:
        return 4 * d + 4 * k


@dataclass(frozen=True, eq=False)
class Partly(Form):
    """Quadratic features, but exact differences for a few narrow components.

    Attributes
    ----------
    quick : Quadratic
    exact : Guarded
    narrow : array of int
        Components that ``exact`` evaluates.
    """

    quick: Quadratic
    exact: Guarded
    narrow: FloatArray
    guarded = True

    @classmethod
    def of(
        cls, quick: Callable[[], Quadratic], exact: Callable[[], Guarded], safe: FloatArray
    ) -> Form:
        """The cheapest form for components (k,) of which some are safe with quadratic features."""
        if safe.all():
            return quick()
        if np.mean(safe) < MOSTLY:
            return exact()
        form, narrow = quick(), np.flatnonzero(~safe)
        table = form.coefficients.copy()
        table[:, narrow] = 0.0
        return cls(Quadratic(form.kind, table), exact(), narrow)

    def log_joint(self, x: FloatArray) -> FloatArray:
        joint = self.quick.log_joint(x)
        for j in self.narrow:
            joint[:, j] = self.exact.one(x, j)
        return joint

    def among(self, components: FloatArray) -> Form:
        narrow = np.flatnonzero(np.isin(components, self.narrow))
        return Partly(self.quick.among(components), self.exact.among(components), narrow)

    def row_floats(self, d: int, k: int) -> int:
        return self.quick.row_floats(d, k)


@dataclass(frozen=True, eq=False)
class Mapped(Form):
    """A map shared by all components, then a form in its coordinates (tied structures)."""

    whiten: Callable[[FloatArray, int], FloatArray]
    inner: Form

    @property
    def guarded(self) -> bool:  # type: ignore[override]
        """Whether the inner form is guarded."""
        return self.inner.guarded

    def log_joint(self, x: FloatArray) -> FloatArray:
        whitened = self.whiten(x.copy(), 0)  # a whitener may work in the memory of its rows
        return self.inner.log_joint(np.ascontiguousarray(whitened))

    def among(self, components: FloatArray) -> Form:
        return Mapped(self.whiten, self.inner.among(components))

    def row_floats(self, d: int, k: int) -> int:
        return 2 * d + self.inner.row_floats(d, k)


#: How far above the answer the terms that cancel may stand before digits are lost. In float64, at
#: 1e5 per column, ten digits are kept; in float32, at 3e4 in all, log densities are wrong by less
#: than 1e-3 in a row, and by 1e-6 in the mean.
SAFE_PER_COLUMN, SAFE_SINGLE = 1e5, 3e4


def are_safe(magnitude: FloatArray, d: int, dtype: Any) -> FloatArray:
    """For which components quadratic features keep the digits: Σ |Θ| s s, s the whole's spread."""
    safe = SAFE_SINGLE if np.dtype(dtype) == np.float32 else SAFE_PER_COLUMN * d
    return np.asarray(magnitude <= safe)


def is_safe(magnitude: FloatArray, d: int, dtype: Any) -> bool:
    """Whether they do so for all."""
    return bool(are_safe(magnitude, d, dtype).all())
