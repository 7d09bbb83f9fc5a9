r"""What a structure compiles to: kernels know a ``Form``, never a structure.

The squared Mahalanobis distances of rows x to all k components are

    δ = Φ(x) Θᵀ + x Λᵀ + const + sign · Σᵣ (x Bₖᵣᵀ − cₖᵣ)²

with Φ the packed second-order features of a moment kind. Structures whose Θ says it all (full,
diagonal, isotropic) are then one matrix product for all components (``Quadratic``); low-rank adds
the B-term. Quadratic features lose digits where a component is narrow against the spread of the
whole; there ``Guarded`` whitens exact differences x − μₖ component by component instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.statistics import MomentKind
from mixtura.typing import FloatArray

__all__ = ["Form", "Guarded", "Mapped", "Quadratic"]


class Form:
    """Squared distances of centred rows to every component."""

    #: Whether the M-step must leave common-anchor moments as well.
    guarded = False

    def distances(self, x: FloatArray) -> FloatArray:
        """δ (b, k) for rows (b, d), centred at the anchor the form was made for."""
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
    theta : array (f, k)
        Coefficients of the packed features.
    linear : array (d, k)
    const : array (k,)
    factor : array (d, k, r), optional
        B, subtracted as Σᵣ (x Bₖᵣᵀ − cₖᵣ)².
    shift : array (k, r), optional
    """

    kind: MomentKind
    theta: FloatArray
    linear: FloatArray
    const: FloatArray
    factor: FloatArray | None = None
    shift: FloatArray | None = None

    @classmethod
    def of(
        cls,
        kind: MomentKind,
        theta: FloatArray,
        linear: FloatArray,
        const: FloatArray,
        dtype: Any,
        factor: FloatArray | None = None,
        shift: FloatArray | None = None,
    ) -> Quadratic:
        """From coefficients (k, f), (k, d), (k,) and B (k, r, d), c (k, r), cast once."""
        t, m, c = (np.ascontiguousarray(a.T, dtype=dtype) for a in (theta, linear, const))
        if factor is None or shift is None:
            return cls(kind, t, m, c)
        turned = np.ascontiguousarray(factor.transpose(2, 0, 1), dtype=dtype)
        return cls(kind, t, m, c, turned, shift.astype(dtype))

    def distances(self, x: FloatArray) -> FloatArray:
        delta: FloatArray = self.kind.phi(x) @ self.theta
        delta += x @ self.linear
        delta += self.const
        if self.factor is not None and self.shift is not None:
            d, k, r = self.factor.shape
            z = (x @ self.factor.reshape(d, k * r)).reshape(-1, k, r)
            z -= self.shift
            delta -= np.einsum("bkr,bkr->bk", z, z)
        return np.maximum(delta, 0, out=delta)

    def row_floats(self, d: int, k: int) -> int:
        r = 0 if self.factor is None else self.factor.shape[2]
        return int(self.theta.shape[0] + k * (3 + 2 * r) + 2 * d)


@dataclass(frozen=True, eq=False)
class Guarded(Form):
    """Exact differences, whitened component by component.

    Attributes
    ----------
    means : array (k, d)
        Means about the anchor.
    whiten : callable (rows (b, d), j) -> array (b, q)
        Whitens differences to component j.
    """

    means: FloatArray
    whiten: Callable[[FloatArray, int], FloatArray]
    guarded = True

    def distances(self, x: FloatArray) -> FloatArray:
        delta = np.empty((x.shape[0], len(self.means)), dtype=x.dtype)
        for j, mean in enumerate(self.means):
            z = self.whiten(x - mean.astype(x.dtype, copy=False), j)
            np.einsum("ij,ij->i", z, z, out=delta[:, j])
        return delta

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

    def distances(self, x: FloatArray) -> FloatArray:
        return self.inner.distances(np.ascontiguousarray(self.whiten(x, 0)))

    def row_floats(self, d: int, k: int) -> int:
        return 2 * d + self.inner.row_floats(d, k)


#: How far above the answer, per column, the terms that cancel may stand before digits are lost:
#: at 1e5 float64 still keeps ten.
SAFE_MAGNITUDE = {np.dtype(np.float64): 1e5, np.dtype(np.float32): 1e2}


def is_safe(magnitude: FloatArray, d: int, dtype: Any) -> bool:
    """Whether quadratic features keep the digits: Σ |Θ| s s, s the spread about the anchor."""
    return bool(np.max(magnitude) <= SAFE_MAGNITUDE[np.dtype(dtype)] * d)
