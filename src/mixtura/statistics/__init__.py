"""Floor 2: additive sufficient statistics, the moments that structures need, responsibilities."""

from mixtura.statistics.kinds import Diagonal, Full, MomentKind, Pooled, Projected, Trace
from mixtura.statistics.responsibilities import Grouped, Responsibilities, grouped, normalise
from mixtura.statistics.statistics import Statistics

__all__ = [
    "Diagonal",
    "Full",
    "Grouped",
    "MomentKind",
    "Pooled",
    "Projected",
    "Responsibilities",
    "Statistics",
    "Trace",
    "grouped",
    "normalise",
]
