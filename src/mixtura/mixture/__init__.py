"""Floor 4: the value ``Mixture`` and everything that its algebra allows."""

from mixtura.mixture.algebra import blend
from mixtura.mixture.mixture import Mixture

__all__ = ["Mixture", "blend"]
