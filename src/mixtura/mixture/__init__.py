"""Floor 4: the value ``Mixture`` and everything that its algebra allows."""

from mixtura.mixture.algebra import blend
from mixtura.mixture.barycenter import barycenter
from mixtura.mixture.bures import bures
from mixtura.mixture.distance import l2, mmd
from mixtura.mixture.divergence import entropy, kl
from mixtura.mixture.match import match
from mixtura.mixture.mixture import Mixture
from mixtura.mixture.sliced import sliced_wasserstein
from mixtura.mixture.transport import geodesic, wasserstein

__all__ = [
    "Mixture",
    "barycenter",
    "blend",
    "bures",
    "entropy",
    "geodesic",
    "kl",
    "l2",
    "match",
    "mmd",
    "sliced_wasserstein",
    "wasserstein",
]
