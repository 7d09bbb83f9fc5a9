"""Floor 2: additive sufficient statistics and the kinds of second moment that structures need."""

from mixtura.statistics.kinds import Diagonal, Full, MomentKind, Pooled, Projected, Trace
from mixtura.statistics.statistics import Statistics

__all__ = ["Diagonal", "Full", "MomentKind", "Pooled", "Projected", "Statistics", "Trace"]
