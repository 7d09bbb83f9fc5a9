"""Diagonal covariances: Σₖ = diag(vₖ)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.derived import derived
from mixtura.arrays.namespace import as_float, freeze, holds, namespace, to_numpy
from mixtura.channels import Diagonal as CellNoise
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Guarded, Partly, Quadratic, are_safe
from mixtura.errors import ConstructionError, NotPositiveDefiniteError
from mixtura.statistics import Diagonal as DiagonalMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import Array, FloatArray

__all__ = ["Diagonal", "DiagonalCovariance", "diagonal_form", "positive"]


def positive(variance: Array) -> Array:
    """Return the variances, or raise where one is not positive and finite."""
    good = (variance > 0) & namespace(variance).isfinite(variance)
    if not holds(good):
        where = np.argwhere(~to_numpy(good))[0]
        value = to_numpy(variance)[tuple(where)]
        raise NotPositiveDefiniteError(
            f"expected positive, finite variances, got {value:.3g} in component {where[0]}"
            + (f", column {where[1]}" if len(where) > 1 else "")
            + "; give every variance a positive value"
        )
    return variance


@dataclass(frozen=True, eq=False)
class DiagonalCovariance(Covariance):
    """Σₖ = diag(vₖ).

    Parameters
    ----------
    variance : array (k, d)
    """

    variance: Array

    name = "diagonal"
    rung = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", freeze(as_float(self.variance)))
        if self.variance.ndim != 2:
            raise ConstructionError(
                f"expected variances of shape (k, d), got {tuple(self.variance.shape)}"
            )

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self.variance.shape[0])

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return int(self.variance.shape[1])

    @derived
    def logdet(self) -> Array:
        xp = namespace(self.variance)
        return xp.sum(xp.log(positive(self.variance)), axis=-1)

    def diagonal(self) -> Array:
        return self.variance

    def inflation(self) -> float:
        return 1.0

    def matmul(self, v: Array) -> Array:
        return self.variance[:, :, None] * v

    def whiten(self, v: Array) -> Array:
        return v / namespace(self.variance).sqrt(positive(self.variance))[:, :, None]

    def solve(self, v: Array) -> Array:
        return v / positive(self.variance)[:, :, None]

    def color(self, z: Array) -> Array:
        return z * namespace(self.variance).sqrt(self.variance)[:, :, None]

    def color_rows(self, z: FloatArray, bounds: FloatArray) -> FloatArray:
        return np.asarray(z * np.repeat(np.sqrt(self.variance), np.diff(bounds), axis=0))

    def scaled(self, a: float, b: float = 0.0) -> DiagonalCovariance:
        return DiagonalCovariance(a * self.variance + b)

    def select(self, columns: Any) -> DiagonalCovariance:
        return DiagonalCovariance(self.variance[:, columns])

    def take(self, components: Any) -> DiagonalCovariance:
        return DiagonalCovariance(self.variance[components])

    def rescaled(self, factors: Array) -> DiagonalCovariance:
        return DiagonalCovariance(self.variance * factors * factors)

    def widened(self) -> Covariance:
        from mixtura.covariance.lowrank import LowRankCovariance  # one rung up

        xp = namespace(self.variance)
        none = xp.zeros((self.k, self.d, 0), dtype=self.variance.dtype, device=self.variance.device)
        return LowRankCovariance(none, self.variance)

    def plus_same(self, other: DiagonalCovariance) -> DiagonalCovariance:
        return DiagonalCovariance(self.variance + other.variance)

    def fuse_same(self, other: DiagonalCovariance) -> DiagonalCovariance:
        total = self.variance + other.variance
        return DiagonalCovariance(self.variance * (other.variance / total))

    def _observe_cells(self, channel: CellNoise) -> Law:
        columns, s = channel.observed, channel.variance
        xp = namespace(self.variance)
        s = as_float(s, like=self.variance)
        total = self.variance[:, columns] + s[columns]
        kappa = self.variance[:, columns] / total
        # Missing cells keep their variance; where s = 0 the cell is known exactly.
        known = xp.isfinite(s)
        kept = xp.where(known, s, xp.ones_like(s))
        shrunk = self.variance * kept / (self.variance + kept)
        residual = xp.where(known, shrunk, self.variance)

        def gain(v: Array) -> Array:
            return scatter_columns(kappa[:, :, None] * v, columns, self.d)

        return Law(DiagonalCovariance(total), gain, DiagonalCovariance(residual))

    def parameters(self) -> dict[str, Array]:
        return {"variance": self.variance}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> DiagonalCovariance:
        return cls(parameters["variance"])

    def n_parameters(self) -> int:
        return self.k * self.d

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        return diagonal_form(DiagonalMoments(), self.variance, means, const, dtype, guarded)

    @classmethod
    def stacked(cls, parts: Sequence[DiagonalCovariance]) -> DiagonalCovariance:
        xp = namespace(*(p.variance for p in parts))
        return cls(xp.concat([p.variance for p in parts]))


def scatter_columns(v: Array, columns: FloatArray, d: int) -> Array:
    """Spread rows (k, g, p) over d rows (k, d, p), zero elsewhere, without assignment."""
    xp = namespace(v)
    place = np.zeros((d, len(columns)))
    place[columns, np.arange(len(columns))] = 1.0
    return xp.asarray(place, dtype=v.dtype, device=v.device) @ v


def diagonal_form(
    kind: MomentKind,
    variance: FloatArray,
    means: FloatArray,
    const: FloatArray,
    dtype: Any,
    guarded: bool | None,
) -> Form:
    """The form of variances (k, d), or (k, 1) where all columns share one."""
    precision = 1.0 / positive(variance)
    spread = (means**2 + variance).max(axis=0)
    safe = np.full(len(means), guarded is False)
    if guarded is None:
        safe = are_safe((precision * spread).sum(axis=1), means.shape[1], dtype)

    def exact() -> Guarded:
        root = np.sqrt(precision).astype(dtype)
        return Guarded(means, const, lambda x, j: x * root[j])

    def quick() -> Quadratic:
        weighted = precision * means
        gamma = (weighted * means).sum(axis=1)
        return Quadratic.of(kind, precision, -2 * weighted, gamma, const, dtype)

    return Partly.of(quick, exact, safe)


@dataclass(frozen=True)
class Diagonal(Structure):
    """Fit Σₖ = diag(vₖ): v = diag S."""

    name = "diagonal"
    words = "variances of its own for each component, no correlations"

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return DiagonalMoments()

    def fit(
        self, stats: Statistics, previous: Covariance | None, floor: Floor
    ) -> DiagonalCovariance:
        return DiagonalCovariance(floor.variances(stats.spread()))

    def n_parameters(self, k: int, d: int) -> int:
        return k * d
