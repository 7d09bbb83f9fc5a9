"""Binary operations on covariances: both operands climb to the higher of their rungs.

isotropic → diagonal → low-rank or Kronecker → full. A structure implements an operation for its own
kind only; what is tied on both sides stays tied.
"""

from __future__ import annotations

from collections.abc import Sequence

from mixtura.covariance.base import Covariance
from mixtura.covariance.tied import TiedCovariance

__all__ = ["fuse", "plus", "stack"]


def plus(a: Covariance, b: Covariance) -> Covariance:
    """Σ + Σ', component by component, in the narrowest structure."""
    if isinstance(a, TiedCovariance) and isinstance(b, TiedCovariance):
        return TiedCovariance(plus(a.shared, b.shared), a.k)
    left, right = _level([a, b])
    return left.plus_same(right)


def fuse(a: Covariance, b: Covariance) -> Covariance:
    """(Σ⁻¹ + Σ'⁻¹)⁻¹, component by component, in the narrowest structure."""
    if isinstance(a, TiedCovariance) and isinstance(b, TiedCovariance):
        return TiedCovariance(fuse(a.shared, b.shared), a.k)
    left, right = _level([a, b])
    return left.fuse_same(right)


def stack(parts: Sequence[Covariance]) -> Covariance:
    """The components of several covariances, one after another."""
    first = parts[0]
    if isinstance(first, TiedCovariance) and all(
        isinstance(p, TiedCovariance) and p.shared is first.shared for p in parts
    ):
        return TiedCovariance(first.shared, sum(p.k for p in parts))
    raised = _level(parts)
    return type(raised[0]).stacked(raised)


def _level(parts: Sequence[Covariance]) -> list[Covariance]:
    """All parts untied, and the lowest of them raised until they are of one kind."""
    loose = [p.untied() if isinstance(p, TiedCovariance) else p for p in parts]
    while len({type(p) for p in loose}) > 1:
        low = min(p.rung for p in loose)
        loose = [p.widened() if p.rung == low else p for p in loose]
    return loose
