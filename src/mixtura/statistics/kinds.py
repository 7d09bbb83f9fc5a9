r"""Kinds of second moment: what a structure must know of Σ r (x − a)(x − a)ᵀ, and no more.

A kind maps the symmetric matrix M = Σ r x xᵀ linearly to a packed vector of length f:

========= ============================ =============
kind      packed                       f
========= ============================ =============
trace     tr M                         1
diagonal  diag M                       d
full      upper triangle of M          d (d + 1) / 2
projected βᵀ M and diag M, for β (d,r) d (r + 1)
========= ============================ =============

Because the map is linear, moments add, and moving the anchor by δ is the same rank-two update for
every kind: with M about a, Σ r x about a called m, and N = Σ r,
M' = M − (m δᵀ + δ mᵀ) + N δ δᵀ (Chan, Golub & LeVeque 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mixtura.arrays.blas import gram
from mixtura.arrays.compiled import kernel
from mixtura.arrays.linalg import LARGE, transpose
from mixtura.statistics.responsibilities import Grouped
from mixtura.typing import FloatArray

__all__ = ["Diagonal", "Full", "MomentKind", "Pooled", "Projected", "Trace"]


#: Features beyond this size are made and multiplied part by part.
FEATURE_BYTES = 2**21


class MomentKind:
    """A linear map of second moments to packed vectors; see the module's table."""

    pooled = False
    #: Whether moments of grouped rows are compiled; see ``scatter``.
    scatters = False
    #: Whether features differ between components, so that rows are best taken with those alone
    #: for which they count.
    by_component = False

    def size(self, d: int) -> int:
        """Length f of the packed vector for d columns."""
        raise NotImplementedError

    def features(self, x: FloatArray, out: FloatArray) -> None:
        """Write the features (b, f) of rows (b, d), for which Rᵀ features is the packed moment."""
        raise NotImplementedError

    def phi(self, x: FloatArray) -> FloatArray:
        """``features`` in an array of their own."""
        out = np.empty((x.shape[0], self.size(x.shape[1])), dtype=x.dtype)
        self.features(x, out)
        return out

    def products(self, d: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """The products of two columns that the packed vector consists of; None where it does not.

        Returns
        -------
        left, right : array (q,) of int
            Columns that are multiplied.
        place : array (q,) of int
            To which packed number each product is added.
        """
        return None

    def take(self, components: slice) -> MomentKind:
        """The kind of some components' moments."""
        return self

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Packed (u vᵀ + v uᵀ) / 2 for (k, d) vectors: (k, f)."""
        raise NotImplementedError

    def scatter(
        self, x: FloatArray, resp: Grouped, own: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Moments of grouped rows, by compiled code, of kinds that have it.

        Parameters
        ----------
        x : array (b, d)
        own : array (k, d), optional
            Anchors of the components.

        Returns
        -------
        mass, first, second : arrays (k,), (k, d), (k, f)
        """
        raise NotImplementedError

    def gather(self, resp: FloatArray, x: FloatArray) -> FloatArray:
        """Packed moments (k, f) in float64 of rows about one common anchor."""
        total = np.zeros((resp.shape[1], self.size(x.shape[1])))
        size = max(64, FEATURE_BYTES // (x.itemsize * total.shape[1]))
        for low in range(0, len(x), size):
            total += resp[low : low + size].T @ self.phi(x[low : low + size])
        return total

    def gather_one(self, r: FloatArray, x: FloatArray, j: int) -> FloatArray:
        """Packed moment (f,) of component j, whose rows x (b, d) stand about its own anchor."""
        return np.asarray(r @ self.phi(x), dtype=np.float64)

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        """Packed moments (k, f) of mass (k,) that is spread by covariances, which may be singular.

        Parameters
        ----------
        covariance : Covariance
            With k components; ``diagonal``, ``matmul`` and ``dense`` are asked for.
        """
        values, vectors = np.linalg.eigh(covariance.dense())
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        each = [self.gather_one(np.ones(len(f)), f.T, j) for j, f in enumerate(roots)]
        return np.asarray(mass[:, None] * np.stack(each))

    def unpack(self, packed: FloatArray, d: int) -> Any:
        """The moment in the shape in which a structure wants it."""
        return packed


def _scattered(
    name: str, x: FloatArray, resp: Grouped, own: FloatArray | None, k: int, f: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    d = x.shape[1]
    near = np.empty((0, d), dtype=x.dtype) if own is None else own.astype(x.dtype)
    mass, first, second = np.zeros(resp.k), np.zeros((resp.k, d)), np.zeros((k, f))
    run = kernel("grouping." + name)
    run(x, near, resp.rows, resp.values, resp.bounds, mass, first, second)
    return mass, first, second


class Trace(MomentKind):
    """tr M, for isotropic structures."""

    scatters = True

    def size(self, d: int) -> int:
        return 1

    def features(self, x: FloatArray, out: FloatArray) -> None:
        np.einsum("ij,ij->i", x, x, out=out[:, 0])

    def products(self, d: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        return np.arange(d), np.arange(d), np.zeros(d, dtype=np.int64)

    def scatter(self, x: FloatArray, resp: Grouped, own: FloatArray | None) -> Any:
        return _scattered("scatter_diagonal", x, resp, own, resp.k, 1)

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("kj,kj->k", u, v)[:, None])

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        return np.asarray((mass * covariance.diagonal().sum(axis=1))[:, None])

    def unpack(self, packed: FloatArray, d: int) -> FloatArray:
        """tr M / d, the mean variance (k,)."""
        return packed[:, 0] / d


class Diagonal(MomentKind):
    """diag M, for diagonal structures."""

    scatters = True

    def size(self, d: int) -> int:
        return d

    def features(self, x: FloatArray, out: FloatArray) -> None:
        np.multiply(x, x, out=out)

    def products(self, d: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        return np.arange(d), np.arange(d), np.arange(d)

    def scatter(self, x: FloatArray, resp: Grouped, own: FloatArray | None) -> Any:
        return _scattered("scatter_diagonal", x, resp, own, resp.k, x.shape[1])

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        return u * v

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        return np.asarray(mass[:, None] * covariance.diagonal())


@lru_cache(maxsize=32)
def triangle(d: int) -> tuple[Any, Any]:
    """Row and column indices of the upper triangle, in the order in which ``Full`` packs."""
    return np.triu_indices(d)


@lru_cache(maxsize=4)
def _places(d: int) -> tuple[FloatArray, FloatArray]:
    """Where packed numbers lie in the lower triangle of a matrix (d, d), and its cells in them."""
    rows, cols = triangle(d)
    places: FloatArray = cols * d + rows
    back = np.empty(d * d, dtype=places.dtype)
    back[places] = back[rows * d + cols] = np.arange(len(places))
    return places, back


class Full(MomentKind):
    """The upper triangle of M, for full structures."""

    scatters = True

    def size(self, d: int) -> int:
        return d * (d + 1) // 2

    def features(self, x: FloatArray, out: FloatArray) -> None:
        d = x.shape[1]
        start = 0
        for i in range(d):
            np.multiply(x[:, i : i + 1], x[:, i:], out=out[:, start : start + d - i])
            start += d - i

    def products(self, d: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        rows, cols = triangle(d)
        return rows, cols, np.arange(len(rows))

    def scatter(self, x: FloatArray, resp: Grouped, own: FloatArray | None) -> Any:
        return _scattered("scatter_full", x, resp, own, resp.k, self.size(x.shape[1]))

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        k, d = u.shape
        out, start = np.empty((k, self.size(d))), 0
        if d >= LARGE:
            for j in range(k):
                outer = np.stack([u[j], v[j]], axis=1) @ np.stack([v[j], u[j]])
                np.take(outer, _places(d)[0], out=out[j], mode="clip")
            out *= 0.5
            return out
        for i in range(d):
            row = out[:, start : start + d - i]
            np.multiply(u[:, i : i + 1], v[:, i:], out=row)
            row += v[:, i : i + 1] * u[:, i:]
            start += d - i
        out *= 0.5
        return out

    def gather_one(self, r: FloatArray, x: FloatArray, j: int) -> FloatArray:
        moment = gram(np.ascontiguousarray(np.sqrt(r)[:, None] * x))  # of xᵀ diag(r) x
        return np.take(moment, _places(x.shape[1])[0]).astype(np.float64, copy=False)

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        rows, cols = triangle(covariance.d)
        return np.asarray(mass[:, None] * covariance.dense()[:, rows, cols])

    def unpack(self, packed: FloatArray, d: int) -> FloatArray:
        if d >= LARGE:
            return np.take(packed, _places(d)[1], axis=1).reshape(len(packed), d, d)
        rows, cols = triangle(d)
        out = np.empty((packed.shape[0], d, d), dtype=packed.dtype)
        out[:, rows, cols] = packed
        out[:, cols, rows] = packed
        return out


@dataclass(frozen=True, eq=False)
class Projected(MomentKind):
    """(M β, diag M) for a basis β (k, d, r) per component: all that a low-rank fit needs.

    Products are kept factor by factor, and with them loadings, so that loops run over columns.
    """

    basis: FloatArray
    by_component = True

    def size(self, d: int) -> int:
        return d * (int(self.basis.shape[2]) + 1)

    def take(self, components: slice) -> Projected:
        return self if len(self.basis) == 1 else Projected(self.basis[components])

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        k, d = u.shape
        along = np.stack([v, u], axis=1) @ self.basis  # (vᵀβ, uᵀβ)
        out = np.empty((k, self.size(d)))
        packed = out[:, :-d].reshape(k, -1, d)
        np.matmul(0.5 * transpose(along), np.stack([u, v], axis=1), out=packed)
        np.multiply(u, v, out=out[:, -d:])
        return out

    def gather(self, resp: FloatArray, x: FloatArray) -> FloatArray:
        m, d, r = self.basis.shape  # m = 1 where the components share a basis
        k = resp.shape[1]
        flat = np.ascontiguousarray(self.basis.transpose(1, 0, 2).reshape(d, m * r), dtype=x.dtype)
        z = (x @ flat).reshape(-1, m, r) * resp[:, :, None]
        product = (z.reshape(-1, k * r).T @ x).reshape(k, r * d)
        squares = resp.T @ (x * x)
        return np.concatenate([product, squares], axis=1).astype(np.float64)

    def gather_one(self, r: FloatArray, x: FloatArray, j: int) -> FloatArray:
        basis = self.basis[j % len(self.basis)].astype(x.dtype, copy=False)
        z = x @ basis
        z *= r[:, None]
        cut = basis.size
        out = np.empty(cut + x.shape[1])
        out[:cut] = (z.T @ x).ravel()
        out[cut:] = r @ (x * x)
        return out

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        k = len(mass)
        basis = np.broadcast_to(self.basis, (k, *self.basis.shape[1:]))
        product = transpose(np.broadcast_to(covariance.matmul(basis), basis.shape))
        packed = np.concatenate([product.reshape(k, -1), covariance.diagonal()], axis=1)
        return np.asarray(mass[:, None] * packed)

    def unpack(self, packed: FloatArray, d: int) -> tuple[FloatArray, FloatArray]:
        """(S β (k, d, r), diag S (k, d))."""
        cut = d * int(self.basis.shape[2])
        return transpose(packed[:, :cut].reshape(len(packed), -1, d)), packed[:, cut:]


@dataclass(frozen=True, eq=False)
class Pooled(MomentKind):
    """The sum of a kind over components, for structures that share one covariance."""

    inner: MomentKind
    pooled = True

    def size(self, d: int) -> int:
        return self.inner.size(d)

    def features(self, x: FloatArray, out: FloatArray) -> None:
        self.inner.features(x, out)

    def cross(self, u: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray(self.inner.cross(u, v).sum(axis=0, keepdims=True))

    def gather(self, resp: FloatArray, x: FloatArray) -> FloatArray:
        return self.inner.gather_one(resp.sum(axis=1), x, 0)[None]

    def gather_one(self, r: FloatArray, x: FloatArray, j: int) -> FloatArray:
        return self.inner.gather_one(r, x, 0)

    def of_covariance(self, mass: FloatArray, covariance: Any) -> FloatArray:
        return np.asarray(self.inner.of_covariance(mass, covariance).sum(axis=0, keepdims=True))

    def unpack(self, packed: FloatArray, d: int) -> Any:
        return self.inner.unpack(packed, d)
