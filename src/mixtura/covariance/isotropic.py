"""Isotropic covariances: Σₖ = vₖ I."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import transpose
from mixtura.arrays.namespace import as_float, freeze, known, namespace
from mixtura.channels import Diagonal as CellNoise
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.diagonal import DiagonalCovariance, diagonal_form, positive
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form
from mixtura.errors import ConstructionError
from mixtura.statistics import MomentKind, Statistics, Trace
from mixtura.typing import Array, FloatArray

__all__ = ["Isotropic", "IsotropicCovariance"]


@dataclass(frozen=True, eq=False)
class IsotropicCovariance(Covariance):
    """Σₖ = vₖ I.

    Parameters
    ----------
    variance : array (k,)
    d : int
        Number of columns.
    """

    variance: Array
    d: int

    name = "isotropic"
    rung = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", freeze(as_float(self.variance)))
        if self.variance.ndim != 1:
            raise ConstructionError(
                f"expected variances of shape (k,), got {tuple(self.variance.shape)}"
            )

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self.variance.shape[0])

    @derived
    def logdet(self) -> Array:
        xp = namespace(self.variance)
        return self.d * xp.log(positive(self.variance))

    def diagonal(self) -> Array:
        xp = namespace(self.variance)
        return xp.broadcast_to(self.variance[:, None], (self.k, self.d))

    def inflation(self) -> float:
        return 1.0

    def matmul(self, v: Array) -> Array:
        return self.variance[:, None, None] * v

    def whiten(self, v: Array) -> Array:
        return v / namespace(self.variance).sqrt(positive(self.variance))[:, None, None]

    def solve(self, v: Array) -> Array:
        return v / positive(self.variance)[:, None, None]

    def color(self, z: Array) -> Array:
        return z * namespace(self.variance).sqrt(self.variance)[:, None, None]

    def scaled(self, a: float, b: float = 0.0) -> IsotropicCovariance:
        return IsotropicCovariance(a * self.variance + b, self.d)

    def select(self, columns: Any) -> IsotropicCovariance:
        return IsotropicCovariance(self.variance, len(columns))

    def take(self, components: Any) -> IsotropicCovariance:
        return IsotropicCovariance(self.variance[components], self.d)

    def rescaled(self, factors: Array) -> Covariance:
        square = factors * factors
        values = known(square)
        if values is not None and np.all(values == values[0]):
            return IsotropicCovariance(self.variance * square[0], self.d)
        return self.widened().rescaled(factors)

    def linear(self, operator: Array) -> Covariance:
        values = known(operator)
        if values is not None:  # c Q with orthonormal rows keeps it isotropic
            gram = values @ transpose(values)
            square = float(gram[0, 0])
            if np.allclose(gram, square * np.eye(len(gram)), rtol=0, atol=1e-14 * abs(square)):
                return IsotropicCovariance(square * self.variance, int(operator.shape[0]))
        return super().linear(operator)

    def widened(self) -> Covariance:
        return DiagonalCovariance(self.diagonal())

    def plus_same(self, other: IsotropicCovariance) -> IsotropicCovariance:
        return IsotropicCovariance(self.variance + other.variance, self.d)

    def fuse_same(self, other: IsotropicCovariance) -> IsotropicCovariance:
        joined = self.variance * (other.variance / (self.variance + other.variance))
        return IsotropicCovariance(joined, self.d)

    def _observe_cells(self, channel: CellNoise) -> Law:
        s = channel.common
        if s is None:
            cells = known(channel.variance)
            if cells is None or not np.isfinite(cells).all() or np.any(cells != cells[0]):
                return self.widened().observe(channel)
            s = channel.variance[0]
        s = as_float(s, like=self.variance)
        total = self.variance + s
        return Law(
            evidence=IsotropicCovariance(total, self.d),
            gain=lambda v: (self.variance / total)[:, None, None] * v,
            residual=IsotropicCovariance(self.variance * (s / total), self.d),
        )

    def conditional(self, given: Any, rest: Any) -> tuple[Any, Covariance]:
        gain, _ = super().conditional(given, rest)
        return gain, self.select(rest)  # independent columns keep their law

    def parameters(self) -> dict[str, Array]:
        return {"variance": self.variance}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> IsotropicCovariance:
        return cls(parameters["variance"], d)

    def n_parameters(self) -> int:
        return self.k

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        return diagonal_form(Trace(), self.variance[:, None], means, const, dtype, guarded)

    @classmethod
    def stacked(cls, parts: Sequence[IsotropicCovariance]) -> IsotropicCovariance:
        xp = namespace(*(p.variance for p in parts))
        return cls(xp.concat([p.variance for p in parts]), parts[0].d)


@dataclass(frozen=True)
class Isotropic(Structure):
    """Fit Σₖ = vₖ I: v = tr S / d."""

    name = "isotropic"
    words = "one variance for each component, the same in every direction"

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return Trace()

    def fit(
        self, stats: Statistics, previous: Covariance | None, floor: Floor
    ) -> IsotropicCovariance:
        return IsotropicCovariance(floor.common(stats.spread()), stats.d)

    def n_parameters(self, k: int, d: int) -> int:
        return k
