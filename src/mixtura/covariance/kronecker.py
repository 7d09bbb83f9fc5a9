r"""Kronecker covariances, for rows that are matrices: Σₖ = Aₖ ⊗ Bₖ, cov(x_ij, x_uv) = A_iu B_jv.

A row of d = p q numbers is a p × q matrix read row by row (an image of p lines, or p moments in
time of q channels): A (p × p) is the covariance along the lines, B (q × q) that across them, and
the model is the matrix-variate normal (Dawid 1981). Then

    Σ⁻¹ = A⁻¹ ⊗ B⁻¹,   log|Σ| = q log|A| + p log|B|,   L_Σ = L_A ⊗ L_B,

so that whitening a row is X ↦ L_A⁻¹ X L_B⁻ᵀ: nothing d × d is formed. The likelihood is highest
where both halves of the flip-flop (Dutilleul 1999) stand still,

    A = Σ_uv (B⁻¹)_vu S[·u, ·v] / q,      B = Σ_uv (A⁻¹)_vu S[u·, v·] / p;

each half is the exact maximiser given the other, so that no step lowers it. It is the Kronecker
product nearest to S in Kullback-Leibler divergence, not in Frobenius norm. The scale that A and B
may pass to each other is fixed by |A| = 1.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import cholesky, solve_cholesky, solve_triangular, symmetrise, transpose
from mixtura.arrays.namespace import as_float, freeze, join, namespace
from mixtura.covariance.base import Covariance, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Guarded
from mixtura.covariance.full import MAX_QUADRATIC_COLUMNS, FullCovariance
from mixtura.errors import ConstructionError, InputError, NotPositiveDefiniteError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import Array, FloatArray

__all__ = ["Kronecker", "KroneckerCovariance"]

#: Halves of the flip-flop in one M-step at most, and the gain below which it ends.
FLIPS, TOLERANCE = 200, 1e-12


@dataclass(frozen=True, eq=False)
class KroneckerCovariance(Covariance):
    """Σₖ = Aₖ ⊗ Bₖ.

    Parameters
    ----------
    lines : array (k, p, p)
        A.
    across : array (k, q, q)
        B.
    """

    lines: Array
    across: Array

    name = "kronecker"
    rung = 3

    def __post_init__(self) -> None:
        lines, across = join(as_float(self.lines), as_float(self.across))
        object.__setattr__(self, "lines", freeze(lines))
        object.__setattr__(self, "across", freeze(across))
        shapes = tuple(self.lines.shape), tuple(self.across.shape)
        square = all(len(s) == 3 and s[1] == s[2] for s in shapes)
        if not square or shapes[0][0] != shapes[1][0]:
            raise ConstructionError(
                f"expected matrices of shape (k, p, p) and (k, q, q), got {shapes[0]} and "
                f"{shapes[1]}"
            )

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self.lines.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Lines p and columns q of a row's matrix."""
        return int(self.lines.shape[-1]), int(self.across.shape[-1])

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns p q."""
        return self.shape[0] * self.shape[1]

    @derived
    def _roots(self) -> tuple[Array, Array]:
        return cholesky(self.lines), cholesky(self.across)

    @derived
    def logdet(self) -> Array:
        xp = namespace(self.lines)
        p, q = self.shape
        a, b = (xp.sum(xp.log(xp.linalg.diagonal(root)), axis=-1) for root in self._roots)
        return 2 * (q * a + p * b)

    def diagonal(self) -> Array:
        xp = namespace(self.lines)
        a, b = xp.linalg.diagonal(self.lines), xp.linalg.diagonal(self.across)
        return xp.reshape(a[:, :, None] * b[:, None, :], (self.k, self.d))

    def _both(
        self, v: Array, left: Callable[[Array], Array], right: Callable[[Array], Array]
    ) -> Array:
        """``left`` on lines and ``right`` across them, of every column of V (k, d, m)."""
        xp = namespace(v, self.lines)
        p, q = self.shape
        k, m = max(self.k, int(v.shape[0])), int(v.shape[-1])
        v = xp.broadcast_to(v, (k, self.d, m))
        v = left(xp.reshape(v, (k, p, q * m)))
        v = xp.permute_dims(xp.reshape(v, (k, p, q, m)), (0, 2, 1, 3))
        v = right(xp.reshape(v, (k, q, p * m)))
        v = xp.permute_dims(xp.reshape(v, (k, q, p, m)), (0, 2, 1, 3))
        return xp.reshape(v, (k, self.d, m))

    def matmul(self, v: Array) -> Array:
        return self._both(v, lambda u: self.lines @ u, lambda u: self.across @ u)

    def whiten(self, v: Array) -> Array:
        a, b = self._roots
        return self._both(v, lambda u: solve_triangular(a, u), lambda u: solve_triangular(b, u))

    def solve(self, v: Array) -> Array:
        a, b = self._roots
        return self._both(v, lambda u: solve_cholesky(a, u), lambda u: solve_cholesky(b, u))

    def color(self, z: Array) -> Array:
        a, b = self._roots
        return self._both(z, lambda u: a @ u, lambda u: b @ u)

    def scaled(self, a: float, b: float = 0.0) -> Covariance:
        if isinstance(b, int | float) and b == 0:
            return KroneckerCovariance(self.lines, a * self.across)
        return self.widened().scaled(a, b)

    def select(self, columns: Any) -> Covariance:
        return FullCovariance(self.dense()).select(columns)

    def take(self, components: Any) -> KroneckerCovariance:
        return KroneckerCovariance(self.lines[components], self.across[components])

    def rescaled(self, factors: Array) -> Covariance:
        return FullCovariance(self.dense()).rescaled(factors)

    def parameters(self) -> dict[str, Array]:
        return {"lines": self.lines, "across": self.across}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> KroneckerCovariance:
        return cls(parameters["lines"], parameters["across"])

    def n_parameters(self) -> int:
        return Kronecker(self.shape).n_parameters(self.k, self.d)

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        if guarded is False or (guarded is None and self.d <= MAX_QUADRATIC_COLUMNS):
            return FullCovariance(self.dense()).form(means, const, dtype, guarded=guarded)
        return Guarded(means, const, self.row_whitener(dtype))

    def row_whitener(self, dtype: Any) -> Callable[[FloatArray, int], FloatArray]:
        p, q = self.shape
        eyes = (np.broadcast_to(np.eye(size), (self.k, size, size)) for size in (p, q))
        left, right = (
            np.swapaxes(solve_triangular(root, eye), 1, 2).astype(dtype)
            for root, eye in zip(self._roots, eyes, strict=True)
        )

        def whiten(x: FloatArray, j: int) -> FloatArray:
            z = (x.reshape(-1, q) @ right[j]).reshape(-1, p, q)
            return np.asarray(np.swapaxes(np.swapaxes(z, 1, 2) @ left[j], 1, 2)).reshape(len(x), -1)

        return whiten

    @classmethod
    def stacked(cls, parts: Sequence[KroneckerCovariance]) -> Covariance:
        if len({part.shape for part in parts}) > 1:
            return FullCovariance.stacked([FullCovariance(part.dense()) for part in parts])
        xp = namespace(*(part.lines for part in parts))
        return cls(
            xp.concat([part.lines for part in parts]), xp.concat([part.across for part in parts])
        )


@dataclass(frozen=True)
class Kronecker(Structure):
    """Fit Σₖ = Aₖ ⊗ Bₖ to rows that are p × q matrices.

    Parameters
    ----------
    shape : (int, int), optional
        Lines p and columns q; by default the factors p ≤ q of d that are nearest to each other
        (1 and d, which is a full covariance, where d is prime).
    """

    shape: tuple[int, int] | None = None

    name = "kronecker"
    words = "rows as matrices: one covariance along their lines and one across, for each component"

    def __post_init__(self) -> None:
        if self.shape is None:
            return
        try:
            p, q = (operator.index(size) for size in self.shape)
        except (TypeError, ValueError):
            raise InputError(
                f"expected a shape (p, q) of two whole numbers, got {self.shape!r}; pass the "
                "numbers of lines and columns of the matrices that rows are"
            ) from None
        object.__setattr__(self, "shape", (p, q))

    def sizes(self, d: int) -> tuple[int, int]:
        """p and q for d columns."""
        if self.shape is None:
            p = max(size for size in range(1, int(d**0.5) + 1) if d % size == 0)
            return p, d // p
        p, q = self.shape
        if p < 1 or q < 1 or p * q != d:
            raise InputError(
                f"expected a shape of p × q = {d} columns, got {p} × {q}; change the shape or the "
                "columns"
            )
        return p, q

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        self.sizes(d)
        return FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> Covariance:
        spread = stats.spread()
        mass = stats.mass if len(spread) == len(stats.mass) else stats.mass.sum(keepdims=True)
        shape = self.sizes(spread.shape[1])
        start = (
            previous.across
            if isinstance(previous, KroneckerCovariance) and previous.shape == shape
            else None
        )

        def solve(moments: FloatArray) -> Covariance:
            return _flip_flop(moments, *shape, start)

        fitted: Covariance = floor.structured(spread, mass, solve, previous)
        return fitted

    def n_parameters(self, k: int, d: int) -> int:
        p, q = self.sizes(d)
        return k * (p * (p + 1) // 2 + q * (q + 1) // 2 - 1)


def _flip_flop(
    spread: FloatArray, p: int, q: int, across: FloatArray | None
) -> KroneckerCovariance:
    """Both halves in turn, from B or from the moments pooled over lines."""
    cells = spread.reshape(-1, p, q, p, q)
    if across is None:
        across = np.einsum("kiuiv->kuv", cells) / p
    before = np.full(len(spread), np.inf)
    for _ in range(FLIPS):
        lines = symmetrise(np.einsum("kuv,kiujv->kij", _inverse(across), cells) / q)
        sign, logdet = np.linalg.slogdet(lines)
        if not (sign > 0).all():
            raise NotPositiveDefiniteError("expected moments of full rank along the lines")
        lines = lines / np.exp(logdet / p)[:, None, None]
        across = symmetrise(np.einsum("kij,kiujv->kuv", _inverse(lines), cells) / p)
        # With B the maximiser, tr(Σ⁻¹ S) = d: log|Σ| alone is left.
        now = p * np.linalg.slogdet(across)[1]
        if (before - now <= TOLERANCE * p * q).all():
            break
        before = now
    return KroneckerCovariance(lines, across)


def _inverse(matrices: FloatArray) -> FloatArray:
    try:
        factor = np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        raise NotPositiveDefiniteError(
            "expected moments of full rank along and across the lines, got singular ones"
        ) from None
    eye = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)
    half = np.asarray(solve_triangular(factor, eye))
    return np.asarray(transpose(half) @ half)
