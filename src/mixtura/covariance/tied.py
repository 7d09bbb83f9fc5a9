"""Tied covariances: any structure, one matrix shared by all components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.namespace import namespace
from mixtura.channels import Channel
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Mapped
from mixtura.covariance.isotropic import IsotropicCovariance
from mixtura.errors import ConstructionError, InputError
from mixtura.statistics import MomentKind, Pooled, Statistics
from mixtura.typing import Array, FloatArray

__all__ = ["Tied", "TiedCovariance"]


@dataclass(frozen=True, eq=False)
class TiedCovariance(Covariance):
    """One covariance shared by k components.

    Parameters
    ----------
    shared : Covariance
        With one component.
    k : int
        Number of components.
    """

    shared: Covariance
    k: int

    name = "tied"
    rung = 0  # never compared: the ladder works on the untied kind

    def __post_init__(self) -> None:
        if self.shared.k != 1:
            raise ConstructionError(
                f"expected a shared covariance with one component, got {self.shared.k}"
            )

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return self.shared.d

    def inflation(self) -> float:
        return self.shared.inflation()

    def forget(self) -> None:
        self.shared.forget()

    def _spread(self, array: Array) -> Array:
        return namespace(array).broadcast_to(array, (self.k, *array.shape[1:]))

    def untied(self) -> Covariance:
        """The same matrices, one per component."""
        return self.shared.take([0] * self.k)

    @property
    def logdet(self) -> Array:
        return self._spread(self.shared.logdet)

    def diagonal(self) -> Array:
        return self._spread(self.shared.diagonal())

    def matmul(self, v: Array) -> Array:
        return self.shared.matmul(v)

    def whiten(self, v: Array) -> Array:
        return self.shared.whiten(v)

    def solve(self, v: Array) -> Array:
        return self.shared.solve(v)

    def color(self, z: Array) -> Array:
        return self.shared.color(z)

    @property
    def n_normals(self) -> int:
        """Standard normal numbers in a draw."""
        return self.shared.n_normals

    def drawn(self, z: Array) -> Array:
        return self.shared.drawn(z)

    def mahalanobis(self, v: Array) -> Array:
        return self.shared.mahalanobis(v)

    def dense(self) -> Array:
        return self._spread(self.shared.dense())

    def precision(self) -> Array:
        return self._spread(self.shared.precision())

    def scaled(self, a: float, b: float = 0.0) -> TiedCovariance:
        return TiedCovariance(self.shared.scaled(a, b), self.k)

    def select(self, columns: Any) -> TiedCovariance:
        return TiedCovariance(self.shared.select(columns), self.k)

    def take(self, components: Any) -> TiedCovariance:
        return TiedCovariance(self.shared, len(components))

    def rescaled(self, factors: Array) -> TiedCovariance:
        return TiedCovariance(self.shared.rescaled(factors), self.k)

    def linear(self, operator: Array) -> TiedCovariance:
        return TiedCovariance(self.shared.linear(operator), self.k)

    def widened(self) -> Covariance:
        return self.untied().widened()

    def observe(self, channel: Channel) -> Law:
        law = self.shared.observe(channel)
        return Law(
            TiedCovariance(law.evidence, self.k), law.gain, TiedCovariance(law.residual, self.k)
        )

    def conditional(self, given: Any, rest: Any) -> tuple[Any, Covariance]:
        gain, covariance = self.shared.conditional(given, rest)
        return gain, TiedCovariance(covariance, self.k)

    def converted(self, change: Callable[[Array], Array]) -> TiedCovariance:
        return TiedCovariance(self.shared.converted(change), self.k)

    def parameters(self) -> dict[str, Array]:
        return self.shared.parameters()

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> TiedCovariance:
        raise ConstructionError("a tied covariance is rebuilt from its shared structure")

    def n_parameters(self) -> int:
        return self.shared.n_parameters()

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        whiten = self.shared.row_whitener(np.float64)
        mapped = whiten(means.copy(), 0)  # which may work in place
        unit = IsotropicCovariance(np.ones(self.k), mapped.shape[1])
        inner = unit.form(mapped, const, dtype, guarded=guarded)
        return Mapped(self.shared.row_whitener(dtype), inner)

    @classmethod
    def stacked(cls, parts: Sequence[TiedCovariance]) -> Covariance:
        raise ConstructionError("tied covariances are stacked untied")


@dataclass(frozen=True)
class Tied(Structure):
    """Fit any structure to the moments pooled over components: Σ = Σₖ Nₖ Sₖ / Σₖ Nₖ.

    Parameters
    ----------
    inner : Structure, or a structure's class
    """

    inner: Structure

    name = "tied"

    def __post_init__(self) -> None:
        if isinstance(self.inner, type):
            object.__setattr__(self, "inner", self.inner())
        if not isinstance(self.inner, Structure):
            raise InputError(
                f"expected a Structure to tie, got {self.inner!r}; pass one, as in Tied(Full())"
            )

    @property
    def words(self) -> str:  # type: ignore[override]
        """What it allows."""
        inner = self.inner.words.replace(" for each component", "").replace(" of its own", "")
        if inner == "a covariance":
            return "one covariance shared by all components"
        return f"shared by all components: {inner}"

    @property
    def start_passes(self) -> int:  # type: ignore[override]
        """Passes over the rows that a start takes."""
        return self.inner.start_passes

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return Pooled(self.inner.kind(self._shared(previous), d))

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> TiedCovariance:
        fitted = self.inner.fit(stats, self._shared(previous), floor)
        return TiedCovariance(fitted, len(stats.mass))

    @staticmethod
    def _shared(previous: Covariance | None) -> Covariance | None:
        return previous.shared if isinstance(previous, TiedCovariance) else None

    def n_parameters(self, k: int, d: int) -> int:
        return self.inner.n_parameters(1, d)

    def count(self, covariance: Covariance) -> int:
        shared = self._shared(covariance)
        return self.inner.count(covariance.take([0]) if shared is None else shared)

    def penalty(self, covariance: Covariance) -> float:
        shared = self._shared(covariance)
        return 0.0 if shared is None else self.inner.penalty(shared)
