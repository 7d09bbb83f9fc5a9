r"""What a structure compiles to: kernels know a ``Form``, never a structure.

A form evaluates log joints of centred rows x for all k components,

    log wₖ + log N(x; μₖ, Σₖ) = constₖ − ½ δₖ,    δ = Φ(x) Θᵀ + x Λᵀ + γ − ‖Uₖᵀ x‖²

with Φ the packed second-order features of a moment kind. Structures whose Θ says it all (full,
diagonal, isotropic) are one product of the features (Φ, x, 1) with one matrix of coefficients
(``Quadratic``), and the M-step's moments are the transposed product; low-rank structures alone have
the term in U (``Factored``, in a file of its own).
Quadratic features lose digits where a component is narrow against the spread of the whole; there
``Guarded`` whitens exact differences x − μₖ component by component instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.statistics import MomentKind
from mixtura.typing import FloatArray

__all__ = ["Form", "Guarded", "Mapped", "Quadratic", "is_safe"]


class Form:
    """Log joints of centred rows with every component."""

    #: Whether the M-step must leave common-anchor moments as well.
    guarded = False

    def log_joint(self, x: FloatArray) -> FloatArray:
        """Log wₖ + log N(x; μₖ, Σₖ) (b, k), for rows (b, d) centred at the form's anchor."""
        raise NotImplementedError

    def row_floats(self, d: int, k: int) -> int:
        """Floating point numbers of working memory per row."""
        raise NotImplementedError


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
        out = np.empty((b, self.coefficients.shape[0]), dtype=x.dtype)
        self.kind.features(x, out[:, : -d - 1])
        out[:, -d - 1 : -1] = x
        out[:, -1] = 1
        return out

    def log_joint(self, x: FloatArray) -> FloatArray:
        return self.log_joint_of(self.features(x), x)

    def log_joint_of(self, features: FloatArray, x: FloatArray) -> FloatArray:
        """``log_joint`` from features that are at hand."""
        joint: FloatArray = features @ self.coefficients
        return joint

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
        for j, mean in enumerate(self.means):
            z = self.whiten(x - mean.astype(x.dtype, copy=False), j)
            np.einsum("ij,ij->i", z, z, out=joint[j])
        joint *= -0.5
        joint += self.const.astype(x.dtype, copy=False)[:, None]
        return np.ascontiguousarray(joint.T)

    def row_floats(self, d: int, k: int) -> int:
        return 4 * d + 4 * k


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

    def row_floats(self, d: int, k: int) -> int:
        return 2 * d + self.inner.row_floats(d, k)


#: How far above the answer, per column, the terms that cancel may stand before digits are lost:
#: at 1e5 float64 still keeps ten.
SAFE_MAGNITUDE = {np.dtype(np.float64): 1e5, np.dtype(np.float32): 1e2}


def is_safe(magnitude: FloatArray, d: int, dtype: Any) -> bool:
    """Whether quadratic features keep the digits: Σ |Θ| s s, s the spread about the anchor."""
    return bool(np.max(magnitude) <= SAFE_MAGNITUDE[np.dtype(dtype)] * d)
