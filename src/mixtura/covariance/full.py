"""Full covariances: any symmetric positive definite Σₖ, held with its Cholesky factor.

With hundreds of columns a fit goes component by component, from moments to factors: the factors
alone are held, and Σ is made of them where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import (
    LARGE,
    cholesky,
    congruent,
    rooted,
    solve_cholesky,
    solve_triangular,
    symmetrise,
    transpose,
)
from mixtura.arrays.namespace import as_float, freeze, is_numpy, namespace
from mixtura.channels import Diagonal as CellNoise
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Guarded, Partly, Quadratic, are_safe
from mixtura.covariance.pieces import by_pieces
from mixtura.covariance.substituted import Substituted, substitution
from mixtura.errors import ConstructionError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.statistics.kinds import triangle
from mixtura.typing import Array, FloatArray

__all__ = ["Full", "FullCovariance"]

#: Beyond this many columns the quadratic features would leave the cache.
MAX_QUADRATIC_COLUMNS = 96


@dataclass(frozen=True, eq=False, init=False, repr=False)
class FullCovariance(Covariance):
    """Any symmetric positive definite Σₖ.

    Parameters
    ----------
    values : array (k, d, d)
    """

    name = "full"
    rung = 4

    def __init__(self, values: Array) -> None:
        values = freeze(as_float(values))
        shape = tuple(values.shape)
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ConstructionError(f"expected matrices of shape (k, d, d), got {shape}")
        self.__dict__["values"] = values

    @classmethod
    def of_factors(cls, factors: Array) -> FullCovariance:
        """Σ = L Lᵀ of lower factors L (k, d, d); Σ itself is made when it is first asked for."""
        found = cls.__new__(cls)
        found.__dict__["cholesky"] = freeze(factors)
        return found

    @derived
    def values(self) -> Array:
        """Σ (k, d, d)."""
        values = rooted(self.cholesky)
        if is_numpy(values):
            values.flags.writeable = False
        return values

    def __repr__(self) -> str:
        return f"FullCovariance(values={self.values!r})"

    @property
    def _held(self) -> Array:
        """What defines it."""
        return self.__dict__["values" if "values" in self.__dict__ else "cholesky"]

    def forget(self) -> None:
        name = "values" if "values" in self.__dict__ else "cholesky"
        held = self._held
        super().forget()
        self.__dict__[name] = held

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self._held.shape[0])

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return int(self._held.shape[-1])

    @derived
    def cholesky(self) -> Array:
        """Lower factors L (k, d, d), Σ = L Lᵀ."""
        return cholesky(self.values)

    @derived
    def logdet(self) -> Array:
        xp = namespace(self._held)
        return 2 * xp.sum(xp.log(xp.linalg.diagonal(self.cholesky)), axis=-1)

    def diagonal(self) -> Array:
        xp = namespace(self._held)
        if "values" in self.__dict__:
            return xp.linalg.diagonal(self.values)
        if is_numpy(self.cholesky):
            return np.einsum("kij,kij->ki", self.cholesky, self.cholesky)
        return xp.sum(self.cholesky * self.cholesky, axis=-1)

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
        if "values" not in self.__dict__:
            return FullCovariance.of_factors(self.cholesky[components])
        return FullCovariance(self.values[components])

    def rescaled(self, factors: Array) -> FullCovariance:
        return FullCovariance(self.values * factors * factors[:, None])

    def _image(self, operator: Array) -> Array:
        if "values" not in self.__dict__:
            return rooted(self.cholesky, operator)
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
            return substitution(self._factors(dtype))
        eye = np.broadcast_to(np.eye(self.d), (self.k, self.d, self.d))
        inverses = np.swapaxes(self.whiten(eye), 1, 2).astype(dtype)  # L⁻ᵀ
        return lambda x, j: np.asarray(x @ inverses[j])

    def _factors(self, dtype: Any) -> FloatArray:
        """For forward substitution: half the work of a product, and no inverses to hold."""
        return np.ascontiguousarray(self.cholesky, dtype=dtype)

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        def exact() -> Guarded:
            if self.d > MAX_QUADRATIC_COLUMNS:
                return Substituted.of(means, const, self._factors(dtype))
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
        if stats.d >= LARGE and not stats.kind.pooled:
            return self._fit_large(stats, floor)
        values = floor.matrices(stats.spread())
        values.flags.writeable = False  # nobody else holds it: no copy is needed
        return FullCovariance(values)

    def _fit_large(self, stats: Statistics, floor: Floor) -> FullCovariance:
        """The same component by component, so that factors alone are held of all."""
        k, d = stats.first.shape
        factors = np.empty((k, d, d))

        def piece(part: slice) -> None:
            matrices = floor.matrices(stats.take(part).spread())
            factors[part] = cholesky(matrices, begin=part.start)

        by_pieces(piece, k, d * d)
        factors.flags.writeable = False
        return FullCovariance.of_factors(factors)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2
