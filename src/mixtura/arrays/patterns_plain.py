"""The kernels of ``patterns`` by NumPy: for work that does not repay compilation.

Factors of all groups and components are made by one call of LAPACK on a stack. Groups are cut into
pieces of 1, 2, 4, … rows, and pieces of one size are solved together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays.triangular import solve_lower
from mixtura.typing import FloatArray

__all__ = ["group_centres", "group_expectation", "group_log_density", "group_moments"]

LOG_2PI = float(np.log(2 * np.pi))
#: Numbers in the factors that are held at once.
HELD = 2**19


class _Singular(Exception):
    """A component's T is not positive definite."""

    def __init__(self, component: int) -> None:
        super().__init__(component)
        self.component = component


class _Pieces(NamedTuple):
    """u pieces of s rows each."""

    group: FloatArray  # (u,)
    rows: FloatArray  # (u, s)
    z: FloatArray  # L⁻¹ (y − m) (u, k, p, s), 0 where missing
    factor: FloatArray  # L (u, k, p, p), the identity where missing
    const: FloatArray  # −½ (log|T| + p log 2π) (u, k)


def group_log_density(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    out: FloatArray,
) -> int:
    """See ``patterns.group_log_density``."""
    try:
        for piece in _pieces(y, starts, variance, means, sigma):
            delta = np.einsum("ukps,ukps->uks", piece.z, piece.z)
            out[:, piece.rows] = np.swapaxes(piece.const[:, :, None] - 0.5 * delta, 0, 1)
    except _Singular as error:
        return error.component
    return -1


def group_moments(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> int:
    """See ``patterns.group_moments``."""
    d = base.shape[2]
    try:
        for piece in _pieces(y, starts, variance, means, sigma):
            w = _loadings(piece, variance, base)
            r = np.swapaxes(resp[:, piece.rows], 0, 1)  # (u, k, s)
            mass = r.sum(axis=2)
            turned, weighted = np.swapaxes(w, 2, 3), piece.z * r[:, :, None, :]
            first += (turned @ weighted.sum(axis=3)[..., None])[..., 0].sum(axis=0)
            # Σ r z zᵀ − N I first: apart, the two would cancel where components are narrow.
            outer = weighted @ np.swapaxes(piece.z, 2, 3)
            outer -= mass[:, :, None, None] * np.eye(outer.shape[2])
            second += (turned @ outer @ w).sum(axis=0)
            second += mass.sum(axis=0)[:, None, None] * np.eye(d)
    except _Singular as error:
        return error.component
    return -1


def group_centres(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """See ``patterns.group_centres``."""
    try:
        for piece in _pieces(y, starts, variance, means[:1], sigma[:1]):
            w = _loadings(piece, variance, base[:1])[:, 0]
            out[piece.rows] = np.swapaxes(piece.z[:, 0], 1, 2) @ w
    except _Singular:
        return 0
    return -1


def group_expectation(
    y: FloatArray,
    starts: FloatArray,
    variance: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    out: FloatArray,
) -> int:
    """See ``patterns.group_expectation``."""
    try:
        for piece in _pieces(y, starts, variance, means, sigma):
            w = _loadings(piece, variance, base)
            each = base @ (np.swapaxes(w, 2, 3) @ piece.z) + means[:, :, None]  # (u, k, d, s)
            found = np.einsum("kus,ukds->usd", resp[:, piece.rows], each)
            found *= np.isinf(variance[piece.group])[:, None]
            out[piece.rows] += found
    except _Singular as error:
        return error.component
    return -1


def _pieces(
    y: FloatArray, starts: FloatArray, variance: FloatArray, means: FloatArray, sigma: FloatArray
) -> Iterator[_Pieces]:
    k, p = means.shape
    most = max(1, HELD // (k * p * p))
    root = _root(sigma)
    for low in range(0, len(variance), most):
        noise, edges = variance[low : low + most], starts[low : low + most + 1]
        seen = np.isfinite(noise)
        exact = not np.where(seen, noise, 0.0).any()
        factor = _factors(sigma, noise, seen) if root is None or not exact else _exact(root, seen)
        logdet = 2.0 * np.log(np.diagonal(factor, axis1=2, axis2=3)).sum(axis=2)
        const = -0.5 * (logdet + seen.sum(axis=1)[:, None] * LOG_2PI)
        sizes, at = np.diff(edges), edges[:-1].copy()
        size = 1
        while (sizes >= size).any():  # the digits of a size in base two are its pieces
            held = np.flatnonzero(sizes & size)
            if len(held):
                rows = at[held, None] + np.arange(size)
                gap = y[rows][:, None] - means[:, None]  # (u, k, s, p)
                gap = np.where(seen[held, None, None], gap, 0.0)
                lower = factor[held]
                flat = np.swapaxes(gap, 2, 3).reshape(-1, p, size)
                z = solve_lower(lower.reshape(-1, p, p), flat).reshape(len(held), k, p, size)
                yield _Pieces(low + held, rows, z, lower, const[held])
                at[held] += size
            size *= 2


def _root(sigma: FloatArray) -> FloatArray | None:
    """F (k, p, p) with F Fᵀ = Σ; None where there is none."""
    try:
        root = np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        return None
    return root if np.isfinite(root).all() else None


def _exact(root: FloatArray, seen: FloatArray) -> FloatArray:
    """``_factors`` without noise: L Lᵀ = F Fᵀ by orthogonal maps of the rows of F that are seen.

    F Fᵀ has the square of F's condition number, so its own factor would lose twice the digits.
    """
    p = seen.shape[1]
    order = np.argsort(~seen, axis=1, kind="stable")  # what is seen comes first
    rows = np.where(seen[:, None, :, None], root, 0.0)
    rows = np.take_along_axis(rows, order[:, None, :, None], axis=2)
    upper: Any = np.linalg.qr(np.swapaxes(rows, 2, 3), mode="r")
    diagonal = np.arange(p)
    upper *= np.where(upper[:, :, diagonal, diagonal] < 0, -1.0, 1.0)[..., None]
    gone = np.take_along_axis(~seen, order, axis=1)
    upper[:, :, diagonal, diagonal] = np.where(gone[:, None], 1.0, upper[:, :, diagonal, diagonal])
    back = np.argsort(order, axis=1)
    lower = np.take_along_axis(np.swapaxes(upper, 2, 3), back[:, None, :, None], axis=2)
    return np.take_along_axis(lower, back[:, None, None, :], axis=3)


def _factors(sigma: FloatArray, noise: FloatArray, seen: FloatArray) -> FloatArray:
    """L (u, k, p, p) of the observed part of T; the identity elsewhere."""
    t = np.where((seen[:, :, None] & seen[:, None, :])[:, None], sigma, 0.0)
    diagonal = np.arange(sigma.shape[1])
    t[:, :, diagonal, diagonal] += np.where(seen, noise, 1.0)[:, None]
    try:
        factor = np.linalg.cholesky(t)
        if np.isfinite(factor).all():
            return factor
    except np.linalg.LinAlgError:
        pass
    for j in range(t.shape[1]):
        for matrix in t[:, j]:
            try:
                if not np.isfinite(np.linalg.cholesky(matrix)).all():
                    raise _Singular(j)
            except np.linalg.LinAlgError:
                raise _Singular(j) from None
    raise _Singular(0)


def _loadings(piece: _Pieces, variance: FloatArray, base: FloatArray) -> FloatArray:
    """W = L⁻¹ B (u, k, p, d); 0 where missing."""
    k, p, d = base.shape
    seen = np.isfinite(variance[piece.group])
    b = np.where(seen[:, None, :, None], base, 0.0)
    flat = solve_lower(piece.factor.reshape(-1, p, p), b.reshape(-1, p, d))
    return flat.reshape(-1, k, p, d)
