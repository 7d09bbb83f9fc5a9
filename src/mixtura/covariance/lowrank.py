r"""Low-rank plus diagonal covariances (factor analysers): Σₖ = Wₖ Wₖᵀ + diag(Ψₖ).

With W̃ = Ψ^(−½) W and M = I + W̃ᵀW̃ (r × r), Woodbury's identity gives

    Σ⁻¹ = Ψ^(−½) (I − W̃ M⁻¹ W̃ᵀ) Ψ^(−½),    log|Σ| = log|M| + Σ log Ψ,

so that nothing d × d is ever formed. With many columns the M-step is Rubin & Thayer's (1982): with
β = Σ⁻¹ W, C = S β and E = I − βᵀW + βᵀ C, the update is W ← C E⁻¹, Ψ ← diag(S − W Cᵀ); it needs
S β and diag S alone. Such a fit starts with W = 0; while W is zero, S is sketched by a Gaussian
matrix and W taken from Nyström's approximation (Halko, Martinsson & Tropp 2011, section 5.4).
With few columns S itself is affordable, and each M-step makes several sweeps of ECME.

``LowRank("auto")`` gives every component a rank of its own at the start: with few columns the one
of least BIC among the factor analysers of rising rank; with many the number of eigenvalues of S, in
units of its diagonal, above one threshold for all, (1 + √(d / Nₖ))², which independent columns pass
only by chance (Kaiser's rule at the edge of Marchenko & Pastur's law, 1967).
Later steps keep it. Components of lesser rank carry columns of zeros in W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import cholesky, solve_cholesky, solve_triangular, transpose
from mixtura.arrays.namespace import as_float, freeze, is_numpy, join, namespace
from mixtura.channels import Diagonal as CellNoise
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.diagonal import positive, scatter_columns
from mixtura.covariance.differences import Differences
from mixtura.covariance.factored import Factored
from mixtura.covariance.floor import Floor
from mixtura.covariance.form import Form, Guarded, is_safe
from mixtura.covariance.pieces import by_pieces
from mixtura.covariance.screened import Screened
from mixtura.errors import ConstructionError, InputError
from mixtura.statistics import Diagonal as DiagonalMoments
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Pooled, Projected, Statistics
from mixtura.typing import Array, FloatArray

__all__ = ["LowRank", "LowRankCovariance"]

#: Columns of the sketch beyond the rank.
OVERSAMPLE = 8
#: Up to so many columns the M-step sees all of S, and climbs further in each step.
DENSE_COLUMNS = 64
SWEEPS, START_SWEEPS = 4, 12
#: Most factors that "auto" gives a component.
MOST_FACTORS = 16


class Solved(NamedTuple):
    """What follows of loadings and noise.

    Attributes
    ----------
    factor : array (k, r, r)
        L with L Lᵀ = M = I + Wᵀ Ψ⁻¹ W.
    u, beta : arrays (k, r, d)
        Uᵀ and βᵀ: U = Ψ⁻¹ W L⁻ᵀ, with Σ⁻¹ = Ψ⁻¹ − U Uᵀ, and β = Σ⁻¹ W = U L⁻¹.
    logdet : array (k,)
        log|Σ|.
    diagonal : array (k, d)
        Σᵢᵢ.
    inflation : array (k,)
        Σ Σᵢᵢ / Ψᵢ: d where columns are uncorrelated, and large where Σ⁻¹ is a small difference.
    """

    factor: Array
    u: Array
    beta: Array
    logdet: Array
    diagonal: Array
    inflation: Array


@dataclass(frozen=True, eq=False)
class LowRankCovariance(Covariance):
    """Σₖ = Wₖ Wₖᵀ + diag(Ψₖ).

    Parameters
    ----------
    loadings : array (k, d, r)
        W.
    noise : array (k, d)
        Ψ, variances.
    """

    loadings: Array
    noise: Array

    name = "lowrank"
    rung = 2

    def __post_init__(self) -> None:
        loadings, noise = join(as_float(self.loadings), as_float(self.noise))
        object.__setattr__(self, "loadings", freeze(loadings))
        object.__setattr__(self, "noise", freeze(noise))
        shapes = tuple(self.loadings.shape), tuple(self.noise.shape)
        if (len(shapes[0]), len(shapes[1])) != (3, 2) or shapes[0][:2] != shapes[1]:
            raise ConstructionError(
                f"expected loadings (k, d, r) and noise (k, d) that agree, got "
                f"{tuple(self.loadings.shape)} and {tuple(self.noise.shape)}"
            )

    @property
    def k(self) -> int:  # type: ignore[override]
        """Number of components."""
        return int(self.noise.shape[0])

    @property
    def d(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return int(self.noise.shape[1])

    @property
    def rank(self) -> int:
        """Number of factors r."""
        return int(self.loadings.shape[2])

    @derived
    def _root(self) -> Array:
        return namespace(self.noise).sqrt(positive(self.noise))[:, :, None]

    @derived
    def _scaled(self) -> Array:
        """W̃ = Ψ^(−½) W."""
        return self.loadings / self._root

    @derived
    def _solved(self) -> Solved:
        positive(self.noise)
        if not is_numpy(self.noise):
            return _solve(self.loadings, self.noise)
        k, d, r = self.loadings.shape
        shapes = (k, r, r), (k, r, d), (k, r, d), (k,), (k, d), (k,)
        found = [np.empty(shape) for shape in shapes]
        quick = compiled.kernel("factorsteps.solved") if _many(k, d, r) else None

        def piece(part: slice) -> None:
            out = [array[part] for array in found]
            if quick is not None:
                given = (transpose(self.loadings)[part], self.noise[part])
                if quick(*map(np.ascontiguousarray, given), *out) < 0:
                    return  # else NumPy says what is wrong
            solved = _solve(self.loadings[part], self.noise[part], part.start)
            for whole, some in zip(out, solved, strict=True):
                whole[...] = some

        by_pieces(piece, k, d * r)
        for array in found:
            array.flags.writeable = False
        return Solved(*found)

    @property
    def _inner(self) -> Array:
        """The Cholesky factor of M (k, r, r)."""
        return self._solved.factor

    @derived
    def _spectrum(self) -> tuple[Array, Array]:
        """Orthonormal Q (k, d, r) and λ (k, r) with W̃ W̃ᵀ = Q diag(λ) Qᵀ."""
        q, root, _ = namespace(self.noise).linalg.svd(self._scaled, full_matrices=False)
        return q, root * root

    @property
    def logdet(self) -> Array:
        return self._solved.logdet

    @derived
    def _diagonal(self) -> Array:
        if "_solved" in self.__dict__:
            return self._solved.diagonal
        return _variances(self.loadings, self.noise)

    def diagonal(self) -> Array:
        return self._diagonal

    def matmul(self, v: Array) -> Array:
        return self.loadings @ (transpose(self.loadings) @ v) + self.noise[:, :, None] * v

    def whiten(self, v: Array) -> Array:
        return self._root_function(v / self._root, -0.5)

    def color(self, z: Array) -> Array:
        return self._root * self._root_function(z, 0.5)

    @property
    def n_normals(self) -> int:
        """Standard normal numbers in a draw: one per factor, and one per column."""
        return self.rank + self.d

    def drawn(self, z: Array) -> Array:
        # W z + Ψ^(½) z' needs no spectrum, whose gradient is not defined where values repeat.
        return self.loadings @ z[:, : self.rank] + self._root * z[:, self.rank :]

    def _root_function(self, y: Array, power: float) -> Array:
        """(I + W̃ W̃ᵀ)^power y through the thin spectrum."""
        q, eigenvalues = self._spectrum
        change = (1 + eigenvalues) ** power - 1
        return y + q @ (change[:, :, None] * (transpose(q) @ y))

    def solve(self, v: Array) -> Array:
        y = v / self._root
        return (y - self._scaled @ self._factors(y)) / self._root

    def _factors(self, y: Array) -> Array:
        """Posterior means of the factors, M⁻¹ W̃ᵀ y."""
        return solve_cholesky(self._inner, transpose(self._scaled) @ y)

    def mahalanobis(self, v: Array) -> Array:
        # ‖y − W̃ z‖² + ‖z‖², z the factors: a sum of squares where Woodbury has a difference.
        xp = namespace(v, self.noise)
        y = v / self._root
        z = self._factors(y)
        rest = y - self._scaled @ z
        return xp.sum(rest * rest, axis=-2) + xp.sum(z * z, axis=-2)

    def scaled(self, a: float, b: float = 0.0) -> LowRankCovariance:
        root = namespace(self.noise).sqrt(as_float(a, like=self.noise))
        return LowRankCovariance(self.loadings * root, a * self.noise + b)

    def select(self, columns: Any) -> LowRankCovariance:
        loadings = transpose(transpose(self.loadings)[:, :, columns])  # factor by factor in memory
        return LowRankCovariance(loadings, self.noise[:, columns])

    def take(self, components: Any) -> LowRankCovariance:
        return LowRankCovariance(self.loadings[components], self.noise[components])

    def rescaled(self, factors: Array) -> LowRankCovariance:
        return LowRankCovariance(self.loadings * factors[:, None], self.noise * factors**2)

    def plus_same(self, other: LowRankCovariance) -> Covariance:
        if self.rank + other.rank > self.d:
            return super().plus_same(other)
        xp = namespace(self.loadings, other.loadings)
        loadings = xp.concat([self.loadings, other.loadings], axis=-1)
        return LowRankCovariance(loadings, self.noise + other.noise)

    def fuse_same(self, other: LowRankCovariance) -> Covariance:
        if self.rank + other.rank > self.d:
            return super().fuse_same(other)
        # Σ⁻¹ + Σ'⁻¹ = P − U Uᵀ with P = 1/Ψ + 1/Ψ' and U = (U₁, U₂); invert by Woodbury.
        xp = namespace(self.loadings, other.loadings)
        u = xp.concat([self._precision_loadings(), other._precision_loadings()], axis=-1)
        noise = self.noise * (other.noise / (self.noise + other.noise))
        spread = noise[:, :, None] * u
        eye = xp.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        factor = cholesky(eye - transpose(u) @ spread)
        return LowRankCovariance(transpose(solve_triangular(factor, transpose(spread))), noise)

    def sparing_form(
        self, means: FloatArray, const: FloatArray, kind: MomentKind, dtype: Any
    ) -> Form | None:
        return Differences.of(self, means, const, dtype) if isinstance(kind, Projected) else None

    def inflation(self) -> float:
        inverse = 1 / self.noise - (self._precision_loadings() ** 2).sum(axis=-1)
        return float((self.diagonal() * inverse).max())

    def regression(self) -> Array:
        """β = Σ⁻¹ W = Ψ⁻¹ W M⁻¹ (k, d, r); ``solve`` would cancel where Ψ is small."""
        return transpose(self._solved.beta)

    def _precision_loadings(self) -> Array:
        """U (k, d, r) with Σ⁻¹ = 1/Ψ − U Uᵀ."""
        return transpose(self._solved.u)

    def _observe_cells(self, channel: CellNoise) -> Law:
        # Given the factors z the cells are independent: x = μ + (1 − κ) W z + κ (y − μ) + rest,
        # with κ = Ψ / (Ψ + s): 1 where exact, 0 where missing.
        xp = namespace(self.noise)
        columns, s = channel.observed, channel.variance
        seen = self.loadings[:, columns, :]
        total = self.noise[:, columns] + as_float(s, like=self.noise)[columns]
        kappa = self.noise[:, columns] / total
        scaled = seen / total[:, :, None]
        eye = xp.eye(self.rank, dtype=self.noise.dtype, device=self.noise.device)
        factor = cholesky(transpose(seen) @ scaled + eye)
        keep = 1 - scatter_columns(kappa[:, :, None], columns, self.d)  # (k, d, 1)
        kept = keep * self.loadings

        def gain(v: Array) -> Array:
            z = solve_cholesky(factor, transpose(scaled) @ v)
            return kept @ z + scatter_columns(kappa[:, :, None] * v, columns, self.d)

        loadings = transpose(solve_triangular(factor, transpose(kept)))
        residual = LowRankCovariance(loadings, self.noise * keep[:, :, 0])
        return Law(LowRankCovariance(seen, total), gain, residual)

    def parameters(self) -> dict[str, Array]:
        return {"loadings": self.loadings, "noise": self.noise}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Array], k: int, d: int) -> LowRankCovariance:
        return cls(parameters["loadings"], parameters["noise"])

    def n_parameters(self) -> int:
        return LowRank(self.rank).n_parameters(self.k, self.d)

    def row_whitener(self, dtype: Any) -> Callable[[FloatArray, int], FloatArray]:
        root = (1 / self._root[:, :, 0]).astype(dtype)
        scaled = self._scaled.astype(dtype)
        to_factors = transpose(solve_cholesky(self._inner, transpose(self._scaled))).astype(dtype)

        def whiten(x: FloatArray, j: int) -> FloatArray:
            y = x * root[j]
            z = y @ to_factors[j]
            return np.concatenate([y - z @ scaled[j].T, z], axis=1)

        return whiten

    def form(
        self, means: FloatArray, const: FloatArray, dtype: Any, *, guarded: bool | None = None
    ) -> Form:
        precision = 1.0 / positive(self.noise)
        spread = (means**2 + self.diagonal()).max(axis=0)
        safe = is_safe(precision @ spread, self.d, dtype) if guarded is None else not guarded
        if safe:
            return Factored.of(precision, self._precision_loadings(), means, const, dtype)
        exact = Guarded(means, const, self.row_whitener(dtype))
        if guarded or self.d <= DENSE_COLUMNS:
            return exact
        rough = Factored.of(precision, self._precision_loadings(), means, const, np.float64)
        return Screened.of(exact, rough, precision, spread)

    @classmethod
    def stacked(cls, parts: Sequence[LowRankCovariance]) -> LowRankCovariance:
        xp = namespace(*(p.noise for p in parts))
        rank = max(p.rank for p in parts)
        padded = []
        for p in parts:
            shape = (p.k, p.d, rank - p.rank)
            pad = xp.zeros(shape, dtype=p.noise.dtype, device=p.noise.device)
            padded.append(xp.concat([p.loadings, pad], axis=-1))
        return cls(xp.concat(padded), xp.concat([p.noise for p in parts]))


@dataclass(frozen=True)
class LowRank(Structure):
    """Fit Σₖ = W Wᵀ + diag(Ψ); no step lowers the likelihood.

    Parameters
    ----------
    rank : int or "auto"
        Factors of every component; "auto" chooses a number for each.
    """

    rank: int | str

    name = "lowrank"
    words = "a few directions of correlation for each component, plus a variance per column"
    start_passes = 2

    def __post_init__(self) -> None:
        if self.rank != "auto" and not (isinstance(self.rank, int | np.integer) and self.rank > 0):
            raise InputError(
                f"expected a rank of at least 1, or 'auto', got {self.rank!r}; pass the number of "
                "factors"
            )

    def most(self, d: int) -> int:
        """Columns of W."""
        if not isinstance(self.rank, str) and self.rank > max(d - 1, 1):
            raise InputError(
                f"expected a rank below the number of columns, from 1 to {max(d - 1, 1)}, got "
                f"{self.rank}; covariance_type='full' has no restriction"
            )
        return min(MOST_FACTORS, max(d - 1, 1)) if isinstance(self.rank, str) else int(self.rank)

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        width = min(self.most(d) + OVERSAMPLE, d)
        if d <= DENSE_COLUMNS:
            return FullMoments()
        if not isinstance(previous, LowRankCovariance):
            return DiagonalMoments()
        if previous.loadings.any():
            return Projected(previous.regression())
        sketch = np.random.default_rng(0).standard_normal((1, d, width))
        return Projected(sketch / np.sqrt(previous.noise)[:, :, None])

    def fit(
        self, stats: Statistics, previous: Covariance | None, floor: Floor
    ) -> LowRankCovariance:
        before = previous if isinstance(previous, LowRankCovariance) else None
        kind = stats.kind.inner if isinstance(stats.kind, Pooled) else stats.kind
        if isinstance(kind, Projected):
            if before is None:
                raise AssertionError("projected moments are asked for with a previous covariance")
            return self._fit_projected(stats, kind, before, floor)
        moments = stats.spread()
        if moments.ndim == 3:
            return self._fit_dense(moments, before, floor, stats.mass)
        variances = floor.variances(moments)  # a start: no loadings yet
        return LowRankCovariance(np.zeros((*variances.shape, self.most(stats.d))), variances)

    def _fit_dense(
        self,
        moments: FloatArray,
        previous: LowRankCovariance | None,
        floor: Floor,
        mass: FloatArray,
    ) -> LowRankCovariance:
        """ECME (Liu & Rubin 1998): W maximises the likelihood given Ψ, then Ψ takes an EM step."""
        k, d = moments.shape[:2]
        if previous is not None:
            ranks = self._ranks(previous)
            return _sweeps(moments, previous.noise, ranks, SWEEPS, floor, previous.rank)
        start = floor.variances(0.5 * np.einsum("kii->ki", moments))
        if not isinstance(self.rank, str):
            return _sweeps(moments, start, np.full(k, self.rank), START_SWEEPS, floor, self.most(d))
        tried = [
            _sweeps(moments, start, np.full(k, r), START_SWEEPS, floor, self.most(d))
            for r in range(self.most(d) + 1)
        ]
        total = mass if len(mass) == k else mass.sum(keepdims=True)
        inside = [np.trace(c.solve(moments), axis1=1, axis2=2) for c in tried]
        cost = np.stack([c.logdet + t for c, t in zip(tried, inside, strict=True)])  # (r, k)
        ranks = _least_bic(cost, total, d)
        return LowRankCovariance(
            np.stack([tried[r].loadings[j] for j, r in enumerate(ranks)]),
            np.stack([tried[r].noise[j] for j, r in enumerate(ranks)]),
        )

    def _ranks(self, covariance: LowRankCovariance) -> FloatArray:
        """Factors (k,) of each component."""
        if isinstance(self.rank, str):
            return np.asarray(covariance.loadings.any(axis=1).sum(axis=1))
        return np.full(covariance.k, self.rank)

    def _fit_projected(
        self, stats: Statistics, kind: Projected, previous: LowRankCovariance, floor: Floor
    ) -> LowRankCovariance:
        """By pieces of a few components, from S β and diag S."""
        k, d, r = previous.loadings.shape
        loadings, noise = np.empty((k, r, d)), np.empty((k, d))  # factor by factor in memory
        begun = previous.loadings.any()
        whole = begun and not stats.kind.pooled and kind.basis.shape == previous.loadings.shape
        quick = compiled.kernel("factorsteps.maximised") if whole and _many(k, d, r) else None

        def piece(part: slice) -> None:
            if quick is not None:
                some = stats.take(part)
                tables = transpose(kind.basis[part]), transpose(previous.loadings[part])
                given = (some.second, some.first, *some.divisors, *tables)
                quick(*map(np.ascontiguousarray, given), loadings[part], noise[part])
            else:
                some = stats if stats.kind.pooled else stats.take(part)
                product, variances = some.spread()
                if begun:
                    found = self._step(product, previous.loadings[part], kind.basis[part])
                    explained = np.einsum("kdr,kdr->kd", found, product)
                else:
                    found = self._nystrom(product, previous.noise[part], some.mass)
                    explained = np.minimum((found**2).sum(axis=2), 0.9 * variances)
                loadings[part], noise[part] = transpose(found), variances - explained
            # The floor holds for Ψ; what rounding leaves at or below zero counts as zero.
            noise[part] = floor.variances(np.maximum(noise[part], 0))

        by_pieces(piece, k, d * r)
        for array in (loadings, noise):
            array.flags.writeable = False  # nobody else has them, and they need not be copied
        return LowRankCovariance(transpose(loadings), noise)

    def _step(self, product: FloatArray, loadings: FloatArray, beta: FloatArray) -> FloatArray:
        """W = C E⁻¹, E = I − βᵀ W + βᵀ C."""
        second = np.eye(loadings.shape[2]) - transpose(beta) @ (loadings - product)
        return np.asarray(transpose(transpose(np.linalg.inv(second)) @ transpose(product)))

    def _nystrom(self, product: FloatArray, noise: FloatArray, mass: FloatArray) -> FloatArray:
        """Leading factors of S in units of its diagonal, from a sketch S D⁻¹ G."""
        root = np.sqrt(noise)[:, :, None]
        sketch = np.random.default_rng(0).standard_normal((1, *product.shape[1:]))
        scaled = product / root
        core = np.swapaxes(sketch, 1, 2) @ scaled
        values, vectors = np.linalg.eigh(0.5 * (core + transpose(core)))
        keep = values > 1e-12 * values[:, -1:]
        inverse = np.where(keep, 1 / np.sqrt(np.where(keep, values, 1.0)), 0.0)
        left, singular, _ = np.linalg.svd(
            scaled @ (vectors * inverse[:, None, :]), full_matrices=False
        )
        k, d = product.shape[:2]
        r = min(self.most(d), singular.shape[1])
        # What a unit-diagonal matrix explains beyond its mean rest is the factors' share.
        leading = np.zeros((k, r + 1))
        leading[:, 1:] = np.cumsum(singular[:, :r] ** 2, axis=1)
        rest = np.maximum(d - leading, 0.05 * d) / np.maximum(d - np.arange(r + 1), 1)
        ranks = np.full(k, r)
        if isinstance(self.rank, str):
            total = mass if len(mass) == k else mass.sum(keepdims=True)
            edge = (1 + np.sqrt(d / np.maximum(total, 1e-300))) ** 2
            ranks = np.asarray((singular[:, :r] ** 2 > edge[:, None]).sum(axis=1))
        own = np.take_along_axis(rest, ranks[:, None], axis=1)
        strength = np.sqrt(np.maximum(singular[:, :r] ** 2 - own, 1e-4))
        strength *= np.arange(r) < ranks[:, None]
        loadings = np.zeros((k, d, self.most(d)))
        loadings[:, :, :r] = root * left[:, :, :r] * strength[:, None, :]
        return loadings

    def n_parameters(self, k: int, d: int) -> int:
        return k * d if isinstance(self.rank, str) else int(_count(np.full(k, self.rank), d))

    def count(self, covariance: Covariance) -> int:
        """Free parameters of what was fitted."""
        if isinstance(self.rank, str) and isinstance(covariance, LowRankCovariance):
            return int(_count(self._ranks(covariance), covariance.d))
        return self.n_parameters(covariance.k, covariance.d)


def _many(k: int, d: int, r: int) -> bool:
    """Whether compiled code serves for k components, of which there are at least as many rows."""
    return compiled.serves(k * min(k, d * r))


def _variances(loadings: Array, noise: Array) -> Array:
    """Σᵢᵢ (k, d)."""
    if is_numpy(noise):
        return np.einsum("kdr,kdr->kd", loadings, loadings) + noise
    return namespace(noise).sum(loadings * loadings, axis=-1) + noise


def _solve(loadings: Array, noise: Array, begin: int = 0) -> Solved:
    """The same by array operations; ``begin`` is the number of the first component."""
    xp, r = namespace(noise), loadings.shape[-1]
    eye = xp.eye(r, dtype=noise.dtype, device=noise.device)
    scaled = transpose(loadings) / noise[:, None, :]
    factor = cholesky(scaled @ loadings + eye, begin=begin)
    root = solve_triangular(factor, eye)
    u = root @ scaled
    inner = xp.sum(xp.log(xp.linalg.diagonal(factor)), axis=-1)
    logdet = xp.sum(xp.log(noise), axis=-1) + 2 * inner
    diagonal = _variances(loadings, noise)
    inflation = xp.sum(diagonal / noise, axis=-1)
    return Solved(factor, u, transpose(root) @ u, logdet, diagonal, inflation)


def _count(ranks: FloatArray, d: int) -> Any:
    """Free parameters of components of these ranks: rotations of the factors are not counted."""
    return np.sum(d * ranks - ranks * (ranks - 1) // 2 + d)


def _least_bic(cost: FloatArray, mass: FloatArray, d: int) -> FloatArray:
    """The rank (k,) of least BIC, from log|Σ| + tr(Σ⁻¹ S) at ranks 0, 1, … (r, k)."""
    r = np.arange(len(cost))[:, None]
    free = d * r - r * (r - 1) // 2
    return np.asarray((mass * cost + np.log(np.maximum(mass, 2.0)) * free).argmin(axis=0))


def _sweeps(
    moments: FloatArray,
    noise: FloatArray,
    ranks: FloatArray,
    sweeps: int,
    floor: Floor,
    most: int | None = None,
) -> LowRankCovariance:
    """ECME for components of these ranks, from noise (k, d)."""
    most = int(ranks.max()) if most is None else most
    variances = np.einsum("kii->ki", moments)
    kept = np.arange(most) < ranks[:, None]
    loadings = np.zeros((*variances.shape, most))
    for _ in range(sweeps):
        root = np.sqrt(positive(noise))
        values, vectors = np.linalg.eigh(moments / root[:, :, None] / root[:, None, :])
        strength = kept * np.sqrt(np.maximum(values[:, ::-1][:, :most] - 1, 0))
        leading = vectors[:, :, ::-1][:, :, :most]
        loadings = root[:, :, None] * leading * strength[:, None, :]
        # β = Σ⁻¹ W is Ψ^(−½) W̃ (I + W̃ᵀW̃)⁻¹, and the columns of W̃ are orthogonal.
        beta = leading / root[:, :, None] * (strength / (1 + strength**2))[:, None, :]
        product = moments @ beta
        second = np.eye(most) - transpose(beta) @ (loadings - product)
        noise = variances - np.sum(loadings * (2 * product - loadings @ second), axis=2)
        noise = floor.variances(np.maximum(noise, 0))
    return LowRankCovariance(loadings, noise)
