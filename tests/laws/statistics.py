"""Laws of additive statistics, held against sums over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from mixtura.statistics import Diagonal, Full, MomentKind, Pooled, Projected, Statistics, Trace

#: What ``unpack`` must give for a moment M (k, d, d).
ORACLES: dict[type[MomentKind], Any] = {
    Trace: lambda kind, m: np.trace(m, axis1=1, axis2=2) / m.shape[1],
    Diagonal: lambda kind, m: np.einsum("kii->ki", m),
    Full: lambda kind, m: m,
    Projected: lambda kind, m: (m @ kind.basis, np.einsum("kii->ki", m)),
}


def close(got: Any, expected: Any, rtol: float = 1e-10) -> None:
    """Equal to ``rtol`` of the largest number in sight; tuples part by part."""
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            close(one, other, rtol)
        return
    size = float(np.abs(expected).max(initial=0.0)) or 1.0
    assert_allclose(got, expected, rtol=rtol, atol=rtol * size)


def oracle(kind: MomentKind, moment: Any) -> Any:
    """The moment (k, d, d) as the kind's structures want it."""
    if isinstance(kind, Pooled):
        return oracle(kind.inner, moment.sum(axis=0, keepdims=True))
    return ORACLES[type(kind)](kind, moment)


def moments(x: Any, resp: Any) -> Any:
    """Σ r x xᵀ for each component, row by row."""
    return np.einsum("nk,ni,nj->kij", resp, x, x)


def gathering(kind: MomentKind, x: Any, resp: Any) -> None:
    """``gather``, ``gather_one`` and ``cross`` sum the same features of the same rows."""
    d, k = x.shape[1], resp.shape[1]
    packed = kind.gather(resp, x)
    assert packed.shape == (1 if kind.pooled else k, kind.size(d))
    assert packed.dtype == np.float64
    close(kind.unpack(packed, d), oracle(kind, moments(x, resp)))
    singly = np.stack([kind.gather_one(resp[:, j], x, j) for j in range(k)])
    close(singly.sum(axis=0, keepdims=True) if kind.pooled else singly, packed)
    crossed = sum(
        kind.cross(np.sqrt(r)[:, None] * row, np.sqrt(r)[:, None] * row)
        for r, row in zip(resp, x, strict=True)
    )
    close(crossed, packed)


def crossing(kind: MomentKind, u: Any, v: Any) -> None:
    """``cross`` packs (u vᵀ + v uᵀ) / 2."""
    moment = 0.5 * (u[:, :, None] * v[:, None, :] + v[:, :, None] * u[:, None, :])
    close(kind.unpack(kind.cross(u, v), u.shape[1]), oracle(kind, moment))


def describing(stats: Statistics, x: Any, resp: Any) -> None:
    """Mass, means and central moments are those of the rows, computed in two passes."""
    mass = resp.sum(axis=0)
    means = (resp.T @ x) / mass[:, None]
    close(stats.mass, mass)
    close(stats.means(), means)
    centred = x[:, None, :] - means[None]
    central = np.einsum("nk,nki,nkj->kij", resp, centred, centred)
    if stats.kind.pooled:
        central = central.sum(axis=0, keepdims=True) / mass.sum()
        inner = stats.kind.inner
        close(stats.spread(), ORACLES[type(inner)](inner, central), 1e-9)
    else:
        close(stats.spread(), oracle(stats.kind, central / mass[:, None, None]), 1e-9)


def same(a: Statistics, b: Statistics, rtol: float = 1e-10) -> None:
    """The same sums, whatever their anchors."""
    moved = b.about(a.anchor)
    for name in ("mass", "weight", "first", "second"):
        close(getattr(moved, name), getattr(a, name), rtol)


def adding(both: Statistics, left: Statistics, right: Statistics) -> None:
    """The statistics of all rows are the sum of those of two parts, in either order."""
    same(both, left + right)
    same(both, right + left)
    np.testing.assert_array_equal((left + right).anchor, left.anchor)


def moving(stats: Statistics, anchor: Any) -> None:
    """Another anchor changes neither means nor central moments, and the way back is exact."""
    moved = stats.about(anchor)
    np.testing.assert_array_equal(moved.anchor, anchor)
    close(moved.means(), stats.means())
    close(moved.spread(), stats.spread(), 1e-8)
    same(stats, moved.about(stats.anchor), 1e-9)


def scaling(stats: Statistics, factor: float) -> None:
    """A factor multiplies the mass and leaves means and central moments alone."""
    scaled = factor * stats
    same(scaled, stats * factor, 0)
    close(scaled.mass, factor * stats.mass)
    close(scaled.means(), stats.means())
    close(scaled.spread(), stats.spread())


def absorbing(left: Statistics, right: Statistics) -> None:
    """``absorb`` is ``+`` in the memory of its left operand."""
    expected = left + right
    total = left.absorb(right)
    assert total is left
    same(expected, total)
