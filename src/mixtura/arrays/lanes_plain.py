"""The kernels of ``lanes`` by NumPy: for work that does not repay compilation.

Rows and components lie along the last axes of every array, so that a step of a factorisation or of
a substitution is one operation on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["row_centres", "row_log_density", "row_moments"]

LOG_2PI = float(np.log(2 * np.pi))
#: Numbers in the matrices that are held at once.
HELD = 2**17


class _Singular(Exception):
    """A row's T is not positive definite under a component."""

    def __init__(self, component: int) -> None:
        super().__init__(component)
        self.component = component


class _Tile:
    """Some rows: L (p, p, k, t), z = L⁻¹ (y − m) (p, k, t), B (p, d, k, t), log|T| (k, t)."""

    def __init__(
        self,
        rows: slice,
        y: FloatArray,
        variance: FloatArray,
        noise: FloatArray,
        operator: FloatArray,
        means: FloatArray,
        sigma: FloatArray,
        base: FloatArray,
    ) -> None:
        self.rows = rows
        s = variance[rows].T[:, None]  # (p, 1, t)
        seen = np.isfinite(s)
        self.n_observed = seen.sum(axis=0)
        cells = np.where(seen, y[rows].T[:, None], 0.0)
        if len(operator) == 0:  # x itself was measured: m, B and B Bᵀ are the component's own
            z = cells - means.T[:, :, None]
            b = base.transpose(1, 2, 0)[:, :, :, None]
            t = np.where(seen[:, None] & seen, sigma.transpose(1, 2, 0)[:, :, :, None], 0.0)
        else:
            a = operator[rows].transpose(1, 2, 0)  # (p, d, t)
            z = cells - np.einsum("pet,ke->pkt", a, means)
            b = np.where(seen[:, None], np.einsum("pet,kec->pckt", a, base), 0.0)
            t = np.einsum("ickt,jckt->ijkt", b, b)
        if len(noise) > 0:
            t += np.where(seen[:, None] & seen, noise[rows].transpose(1, 2, 0)[:, :, None], 0.0)
        each = np.arange(len(seen))
        t[each, each] += np.where(seen, s, 1.0)
        self.z, self.factor = np.where(seen, z, 0.0), t
        self._seen, self._base = seen, b
        self.logdet = self._factorise()

    def _factorise(self) -> FloatArray:
        t, z = self.factor, self.z
        logdet = np.zeros(z.shape[1:])
        for j in range(len(z)):
            if j:
                t[j:, j] -= np.einsum("ickt,ckt->ikt", t[j:, :j], t[j, :j])
                z[j] -= np.einsum("ckt,ckt->kt", t[j, :j], z[:j])
            pivot = t[j, j]
            bad = ~(pivot > 0).all(axis=1)
            if bad.any():
                raise _Singular(int(np.argmax(bad)))
            logdet += np.log(pivot)
            root = np.sqrt(pivot)
            t[j:, j] /= root
            z[j] /= root
        return logdet

    def loadings(self) -> FloatArray:
        """W = L⁻¹ B (p, d, k, t)."""
        shape = (*self._base.shape[:3], self.z.shape[2])
        w = np.where(self._seen[:, None], np.broadcast_to(self._base, shape), 0.0)
        for i in range(len(w)):
            if i:
                w[i] -= np.einsum("ckt,cdkt->dkt", self.factor[i, :i], w[:i])
            w[i] /= self.factor[i, i]
        return w


def _tiles(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
) -> Iterator[_Tile]:
    (b, p), (k, d) = y.shape, means.shape
    size = max(8, HELD // (k * p * max(p, d)))
    for low in range(0, b, size):
        rows = slice(low, min(low + size, b))
        yield _Tile(rows, y, variance, noise, operator, means, sigma, base)


def row_log_density(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """See ``lanes.row_log_density``."""
    try:
        for tile in _tiles(y, variance, noise, operator, means, sigma, base):
            delta = np.einsum("pkt,pkt->kt", tile.z, tile.z)
            out[:, tile.rows] = -0.5 * (delta + tile.logdet + tile.n_observed * LOG_2PI)
    except _Singular as error:
        return error.component
    return -1


def row_moments(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    resp: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> int:
    """See ``lanes.row_moments``."""
    d = means.shape[1]
    try:
        for tile in _tiles(y, variance, noise, operator, means, sigma, base):
            r, w = resp[:, tile.rows], tile.loadings()
            xi = np.einsum("pckt,pkt->ckt", w, tile.z)
            first += np.einsum("ckt,kt->kc", xi, r)
            # Row by row, since the two sums would cancel where components are narrow.
            total = xi[:, None] * xi - np.einsum("pckt,pekt->cekt", w, w)
            second += np.einsum("cekt,kt->kce", total, r)
            second += r.sum(axis=1)[:, None, None] * np.eye(d)
    except _Singular as error:
        return error.component
    return -1


def row_centres(
    y: FloatArray,
    variance: FloatArray,
    noise: FloatArray,
    operator: FloatArray,
    means: FloatArray,
    sigma: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> int:
    """See ``lanes.row_centres``."""
    try:
        for tile in _tiles(y, variance, noise, operator, means[:1], sigma[:1], base[:1]):
            out[tile.rows] = np.einsum("pckt,pkt->tc", tile.loadings(), tile.z)
    except _Singular:
        return 0
    return -1
