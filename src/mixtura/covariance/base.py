r"""What every covariance has: the representation, the fit rule, and the generic law of x given y.

A ``Covariance`` represents k matrices Σₖ (d × d). A ``Structure`` is the rule that fits one to
moments. Binary operations climb a ladder (isotropic → diagonal → low-rank → full): both operands
are widened to the higher rung, so that a structure implements them only for its own kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import cholesky, solve_cholesky, symmetrise, transpose
from mixtura.arrays.namespace import as_float, freeze, known, namespace
from mixtura.channels import Channel, Diagonal, Linear
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form
from mixtura.errors import MixturaError
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import Array, FloatArray

__all__ = [
    "MEMORY_BUDGET",
    "Covariance",
    "Law",
    "Structure",
    "check_budget",
    "is_scaled_selector",
]

#: Bytes that a d × d result may take before an operation refuses to form it.
MEMORY_BUDGET = 4 * 2**30


class Covariance(ABC):
    """k covariance matrices of size d × d in some economical representation.

    Arrays have the component axis first; a representation with one matrix for all components
    broadcasts it. The same code runs on NumPy arrays and on other array libraries.
    """

    #: Name in model files, by which ``representations`` finds the class again.
    name: ClassVar[str]
    representations: ClassVar[dict[str, type[Covariance]]] = {}
    #: Height on the ladder of generality.
    rung: ClassVar[int]
    k: int
    d: int

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if isinstance(name := vars(cls).get("name"), str):
            Covariance.representations[name] = cls

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():  # arrays come back as read-only as they were
            self.__dict__[name] = freeze(value) if isinstance(value, np.ndarray) else value

    # ---- what a structure must provide -----------------------------------------------------
    @property
    @abstractmethod
    def logdet(self) -> Array:
        """log |Σ| (k,)."""

    @abstractmethod
    def diagonal(self) -> Array:
        """Variances (k, d)."""

    @abstractmethod
    def matmul(self, v: Array) -> Array:
        """Σ V for V (k, d, p)."""

    @abstractmethod
    def whiten(self, v: Array) -> Array:
        """V (k, d, p) in coordinates in which Σ is the identity: ‖whiten(v)‖² = vᵀ Σ⁻¹ v."""

    @abstractmethod
    def solve(self, v: Array) -> Array:
        """Σ⁻¹ V for V (k, d, p)."""

    @abstractmethod
    def color(self, z: Array) -> Array:
        """The inverse of ``whiten``: standard normal Z (k, d, p) to draws with covariance Σ."""

    def color_rows(self, z: FloatArray, bounds: FloatArray) -> FloatArray:
        """``color`` of rows Z (n, d), of which bounds[j] … bounds[j + 1] − 1 are component j's."""
        out = np.empty_like(z)
        for j in np.flatnonzero(np.diff(bounds)):
            rows = slice(bounds[j], bounds[j + 1])
            out[rows] = self.take([j]).color(z[rows].T[None])[0].T
        return out

    @abstractmethod
    def scaled(self, a: float, b: float = 0.0) -> Covariance:
        """a Σ + b I."""

    @abstractmethod
    def select(self, columns: Any) -> Covariance:
        """The covariance of some columns, in the order given."""

    @abstractmethod
    def take(self, components: Any) -> Covariance:
        """Some components, in the order given."""

    @abstractmethod
    def rescaled(self, factors: Array) -> Covariance:
        """D Σ D for D = diag(factors) (d,)."""

    @abstractmethod
    def parameters(self) -> dict[str, Array]:
        """The arrays that define it, for files and for other array libraries."""

    @classmethod
    @abstractmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> Covariance:
        """The inverse of ``parameters``."""

    @abstractmethod
    def n_parameters(self) -> int:
        """Free parameters."""

    @abstractmethod
    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        """Compile to a kernel.

        Parameters
        ----------
        means : array (k, d)
            About the anchor.
        const : array (k,)
            Log joint at the means: log wₖ − ½ (d log 2π + log|Σₖ|).
        dtype : of the rows
        guarded : bool, optional
            None lets the numbers decide whether quadratic features are safe.
        """

    @classmethod
    @abstractmethod
    def stacked(cls, parts: Sequence[Any]) -> Covariance:
        """Components of several covariances of this class, one after another."""

    def row_whitener(self, dtype: Any) -> Callable[[FloatArray, int], FloatArray]:
        """A function that whitens rows (b, d) of differences to component j; NumPy only."""
        return lambda x, j: np.asarray(self.take([j]).whiten(x.T[None])[0].T, dtype=dtype)

    # ---- what is inherited -------------------------------------------------------------------
    @property
    def n_normals(self) -> int:
        """Standard normal numbers in a draw."""
        return self.d

    def drawn(self, z: Array) -> Array:
        """Draws (k, d, p) with covariance Σ from standard normal Z (k, n_normals, p); a gradient
        flows to the parameters."""
        return self.color(z)

    def converted(self, change: Callable[[Array], Array]) -> Covariance:
        """The same covariance with ``change`` applied to every array that defines it."""
        changed = {name: change(array) for name, array in self.parameters().items()}
        return type(self).from_parameters(changed, self.k, self.d)

    def widened(self) -> Covariance:
        """The same matrices one rung higher on the ladder."""
        return _full(self.dense())

    def dense(self) -> Array:
        """Matrices (k, d, d); refused where they would pass the memory budget."""
        check_budget(self.k, self.d, f"dense matrices of a {self.name} covariance")
        xp = namespace(*self.parameters().values())
        like = next(iter(self.parameters().values()))
        eye = xp.eye(self.d, dtype=like.dtype, device=like.device)
        return symmetrise(self.matmul(xp.broadcast_to(eye, (self.k, self.d, self.d))))

    def precision(self) -> Array:
        """Inverses (k, d, d)."""
        check_budget(self.k, self.d, f"dense inverses of a {self.name} covariance")
        xp = namespace(*self.parameters().values())
        like = next(iter(self.parameters().values()))
        eye = xp.eye(self.d, dtype=like.dtype, device=like.device)
        return symmetrise(self.solve(xp.broadcast_to(eye, (self.k, self.d, self.d))))

    def mahalanobis(self, v: Array) -> Array:
        """vᵀ Σ⁻¹ v for the columns of V (k, d, p): (k, p)."""
        xp = namespace(v)
        z = self.whiten(v)
        return xp.sum(z * z, axis=-2)

    def sparing_form(
        self, means: FloatArray, const: FloatArray, kind: Any, dtype: Any
    ) -> Form | None:
        """A form by compiled code for rows that meet few components; None where there is none."""
        return None

    def inflation(self) -> float:
        """Largest Σᵢᵢ (Σ⁻¹)ᵢᵢ: 1 where columns are uncorrelated, large where they are collinear."""
        xp = namespace(*self.parameters().values())
        return float(xp.max(self.diagonal() * xp.linalg.diagonal(self.precision())))

    def forget(self) -> None:
        """Drop factors that were derived and kept; they are derived again when asked for."""
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, derived):
                self.__dict__.pop(name, None)

    def plus_same(self, other: Any) -> Covariance:
        """Σ + Σ' for a covariance of the same class, component by component."""
        return _full(self.dense() + other.dense())

    def fuse_same(self, other: Any) -> Covariance:
        """(Σ⁻¹ + Σ'⁻¹)⁻¹ for a covariance of the same class, component by component."""
        # With K = Σ (Σ + Σ')⁻¹, Joseph's form (I − K) Σ (I − K)ᵀ + K Σ' Kᵀ stays positive.
        a, b = self.dense(), other.dense()
        xp = namespace(a, b)
        gain = transpose(solve_cholesky(cholesky(a + b), a))
        rest = xp.eye(self.d, dtype=a.dtype, device=a.device) - gain
        joined = rest @ a @ transpose(rest) + gain @ b @ transpose(gain)
        return _full(symmetrise(joined))

    def linear(self, operator: Array) -> Covariance:
        """A Σ Aᵀ for A (p, d), in the narrowest structure."""
        picked = is_scaled_selector(operator)
        if picked is not None:
            columns, factors = picked
            return self.select(columns).rescaled(factors)
        check_budget(self.k, int(operator.shape[0]), "the image of a covariance")
        return _full(self._image(operator))

    def _image(self, operator: Array) -> Array:
        xp = namespace(operator, *self.parameters().values())
        images = self.matmul(
            xp.broadcast_to(transpose(operator), (self.k, *transpose(operator).shape))
        )
        return symmetrise(operator @ images)

    def observe(self, channel: Channel) -> Law:
        """The law of x given y = A x + e, up to the means."""
        if isinstance(channel, Diagonal):
            return self._observe_cells(channel)
        sigma = self.dense()
        a, s = as_float(channel.operator, like=sigma), as_float(channel.noise, like=sigma)
        xp = namespace(a, s, sigma)
        cross = a @ sigma  # cov(y, x) (k, p, d)
        evidence = symmetrise(cross @ transpose(a)) + s
        gain = transpose(solve_cholesky(cholesky(evidence, "observation's covariance"), cross))
        rest = xp.eye(self.d, dtype=sigma.dtype, device=sigma.device) - gain @ a
        residual = rest @ sigma @ transpose(rest) + gain @ (s @ transpose(gain))
        return Law(
            evidence=_full(evidence),
            gain=lambda v: gain @ v,
            residual=_full(symmetrise(residual)),
        )

    def _observe_cells(self, channel: Diagonal) -> Law:
        columns = channel.observed
        eye = as_float(np.eye(self.d), like=channel.variance)
        noise = channel.variance[columns] * eye[columns][:, columns]
        return self.observe(Linear(eye[columns], noise))

    def conditional(self, given: Any, rest: Any) -> tuple[Any, Covariance]:
        """Law of the columns ``rest`` given exact values of the columns ``given``.

        Returns
        -------
        gain : callable
            Maps deviations of the given columns (k, g, p) to deviations of the rest (k, r, p).
        covariance : Covariance
            Of the rest, in the narrowest structure.
        """
        variance = np.full(self.d, np.inf)
        variance[given] = 0.0
        law = self.observe(Diagonal(variance))
        sort = np.argsort(np.asarray(given))  # the law lists observed columns in order
        return (lambda v: law.gain(v[:, sort, :])[:, rest, :]), law.residual.select(rest)


@dataclass(frozen=True, eq=False)
class Law:
    """What is known of x after a channel, for each component; means come from outside.

    Attributes
    ----------
    evidence : Covariance (k, p, p)
        Of the observed coordinates of y.
    gain : callable
        Maps residuals y − A μ (k, p, b) to E[x | y] − μ (k, d, b).
    residual : Covariance (k, d, d)
        Of x given y; singular where a cell is known exactly, so that only ``diagonal``,
        ``matmul`` and ``dense`` are then safe.
    """

    evidence: Covariance
    gain: Any
    residual: Covariance

    @property
    def logdet(self) -> Array:
        """log |A Σ Aᵀ + S| (k,)."""
        return self.evidence.logdet

    @property
    def n_observed(self) -> int:
        """Number of observed coordinates."""
        return self.evidence.d

    def delta(self, v: Array) -> Array:
        """Squared Mahalanobis norms (k, b) of residuals (k, p, b)."""
        return self.evidence.mahalanobis(v)


class Structure(ABC):
    """A rule that fits a covariance to moments: the M-step of one structure."""

    name: ClassVar[str]
    #: What it allows, in words for people who read a report.
    words: ClassVar[str]
    #: Passes over the rows that a start from responsibilities takes.
    start_passes: ClassVar[int] = 1

    @abstractmethod
    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        """The moments that ``fit`` needs, given the covariance of the previous step."""

    @abstractmethod
    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> Covariance:
        """Maximise Σₖ Nₖ (−log|Σₖ| − tr(Σₖ⁻¹ Sₖ)), S the moments about the means.

        Parameters
        ----------
        stats : Statistics
            Of the kind that this structure asked for; pooled statistics give one matrix.
        previous : Covariance, optional
            Of the last step, for structures whose M-step is itself iterative.
        floor : Floor
        """

    @abstractmethod
    def n_parameters(self, k: int, d: int) -> int:
        """Free parameters of k covariances; where the data decide, the fewest."""

    def penalty(self, covariance: Covariance) -> float:
        """What the fit adds to the log-likelihood, in nats: 0 for maximum likelihood."""
        return 0.0

    def count(self, covariance: Covariance) -> int:
        """Free parameters of what was fitted."""
        return self.n_parameters(covariance.k, covariance.d)


def check_budget(k: int, d: int, what: str) -> None:
    """Refuse arrays (k, d, d) beyond ``MEMORY_BUDGET``."""
    size = 8 * k * d * d
    if size > MEMORY_BUDGET:
        raise MixturaError(
            f"expected at most {MEMORY_BUDGET / 2**30:.0f} GiB for {what}, but {k} × {d} × {d} "
            f"numbers take {size / 2**30:.1f} GiB; take fewer columns with marginal(), or raise "
            "mixtura.covariance.base.MEMORY_BUDGET"
        )


def is_scaled_selector(operator: Any) -> tuple[FloatArray, Array] | None:
    """Columns and factors of a matrix with one non-zero per row, all in distinct columns."""
    values = known(operator)
    if values is None:
        return None
    nonzero = values != 0
    if not (nonzero.sum(axis=1) == 1).all() or (nonzero.sum(axis=0) > 1).any():
        return None
    columns = nonzero.argmax(axis=1)
    return columns, operator[np.arange(len(columns)), columns]


def _full(values: Array) -> Covariance:
    from mixtura.covariance.full import FullCovariance  # the top rung stands on this file

    return FullCovariance(values)
