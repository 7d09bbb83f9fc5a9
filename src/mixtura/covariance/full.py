"""Full covariances: any symmetric positive definite Σₖ, held with its Cholesky factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.blas import substitute
from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import (
    cholesky,
    congruent,
    solve_cholesky,
    solve_triangular,
    symmetrise,
    transpose,
)
from mixtura.arrays.namespace import as_float, freeze, namespace
from mixtura.channels import Diagonal as CellNoise
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Guarded, Partly, Quadratic, are_safe
from mixtura.errors import ConstructionError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.statistics.kinds import triangle
from mixtura.typing import Array, FloatArray

__all__ = ["Full", "FullCovariance"]

#: Beyond this many columns the quadratic features would leave the cache.
MAX_QUADRATIC_COLUMNS = 96


@dataclass(frozen=True, eq=False)
class FullCovariance(Covariance):
    """Any symmetric positive definite Σₖ.

    Parameters
    ----------
    values : array (k, d, d)
    """

    values: Array

    name = "full"
    rung = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", freeze(as_float(self.values)))
        shape = tuple(self.values.shape)
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ConstructionError(f"expected matrices of shape (k, d, d), got {shape}")

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self.values.shape[0])

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return int(self.values.shape[-1])

    @derived
    def cholesky(self) -> Array:
        """Lower factors L (k, d, d), Σ = L Lᵀ."""
        return cholesky(self.values)

    @derived
    def logdet(self) -> Array:
        xp = namespace(self.values)
        return 2 * xp.sum(xp.log(xp.linalg.diagonal(self.cholesky)), axis=-1)

    def diagonal(self) -> Array:
        return namespace(self.values).linalg.diagonal(self.values)

    def matmul(self, v: Array) -> Array:
        return self.values @ v

    def whiten(self, v: Array) -> Array:
        return solve_triangular(self.cholesky, v)

    def solve(self, v: Array) -> Array:
        return solve_cholesky(self.cholesky, v)

    def color(self, z: Array) -> Array:
        return self.cholesky @ z

    def color_rows(self, z: FloatArray, bounds: FloatArray) -> FloatArray:
        out = np.empty_like(z)
        for factor, start, stop in zip(self.cholesky, bounds[:-1], bounds[1:], strict=True):
            np.matmul(z[start:stop], factor.T, out=out[start:stop])
        return out

    def dense(self) -> Array:
        return self.values

    def scaled(self, a: float, b: float = 0.0) -> FullCovariance:
        xp = namespace(self.values)
        eye = xp.eye(self.d, dtype=self.values.dtype, device=self.values.device)
        return FullCovariance(a * self.values + b * eye)

    def select(self, columns: Any) -> FullCovariance:
        return FullCovariance(self.values[:, columns, :][:, :, columns])

    def take(self, components: Any) -> FullCovariance:
        return FullCovariance(self.values[components])

    def rescaled(self, factors: Array) -> FullCovariance:
        return FullCovariance(self.values * factors * factors[:, None])

    def _image(self, operator: Array) -> Array:
        return congruent(operator, self.values)

    def conditional(self, given: Any, rest: Any) -> tuple[Any, Covariance]:
        # The Cholesky factor of (given, rest) holds the conditional's factor in its last block,
        # positive definite by construction where a difference of matrices is not.
        g = len(given)
        order = [*given, *rest]
        factor = cholesky(self.values[:, order, :][:, :, order])
        top, low, corner = factor[:, :g, :g], factor[:, g:, :g], factor[:, g:, g:]
        return (
            lambda v: low @ solve_triangular(top, v),
            FullCovariance(symmetrise(corner @ transpose(corner))),
        )

    def _observe_cells(self, channel: CellNoise) -> Law:
        columns, s = channel.observed, channel.variance
        place = as_float(np.eye(self.d)[columns], like=self.values)
        noise = as_float(s, like=self.values)[columns] * place[:, columns]
        cross = self.values[:, columns, :]  # cov(y, x)
        evidence = cross[:, :, columns] + noise
        gain = transpose(solve_cholesky(cholesky(evidence, "observation's covariance"), cross))
        rest = as_float(np.eye(self.d), like=self.values) - gain @ place
        residual = rest @ self.values @ transpose(rest) + gain @ noise @ transpose(gain)
        return Law(
            FullCovariance(evidence), lambda v: gain @ v, FullCovariance(symmetrise(residual))
        )

    def parameters(self) -> dict[str, Array]:
        return {"values": self.values}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> FullCovariance:
        return cls(parameters["values"])

    def n_parameters(self) -> int:
        return self.k * self.d * (self.d + 1) // 2

    def row_whitener(self, dtype: Any) -> Callable[[FloatArray, int], FloatArray]:
        if self.d > MAX_QUADRATIC_COLUMNS:
            return self._substitution(dtype)
        eye = np.broadcast_to(np.eye(self.d), (self.k, self.d, self.d))
        inverses = np.swapaxes(self.whiten(eye), 1, 2).astype(dtype)  # L⁻ᵀ
        return lambda x, j: np.asarray(x @ inverses[j])

    def _substitution(self, dtype: Any) -> Callable[[FloatArray, int], FloatArray]:
        """Forward substitution: half the work of a product, and no inverses to hold."""
        factors = np.ascontiguousarray(self.cholesky, dtype=dtype)
        return lambda x, j: substitute(factors[j], np.ascontiguousarray(x))

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        def exact() -> Guarded:
            return Guarded(means, const, self.row_whitener(dtype))

        if guarded or (guarded is None and self.d > MAX_QUADRATIC_COLUMNS):
            return exact()
        precision = self.precision()
        spread = np.sqrt((means**2 + self.diagonal()).max(axis=0))
        safe = are_safe((np.abs(precision) @ spread) @ spread, self.d, dtype)

        def quick() -> Quadratic:
            rows, cols = triangle(self.d)
            theta = precision[:, rows, cols] * np.where(rows == cols, 1.0, 2.0)
            linear = np.einsum("kij,kj->ki", precision, means)
            gamma = np.einsum("kj,kj->k", linear, means)
            return Quadratic.of(FullMoments(), theta, -2 * linear, gamma, const, dtype)

        return Partly.of(quick, exact, safe)

    @classmethod
    def stacked(cls, parts: Sequence[FullCovariance]) -> FullCovariance:
        xp = namespace(*(p.values for p in parts))
        return cls(xp.concat([p.values for p in parts]))


@dataclass(frozen=True)
class Full(Structure):
    """Fit any Σₖ: Σ = S."""

    name = "full"
    words = "a covariance of its own for each component"

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> FullCovariance:
        values = floor.matrices(stats.spread())
        values.flags.writeable = False  # nobody else holds it: no copy is needed
        return FullCovariance(values)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2
