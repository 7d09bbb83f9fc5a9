"""Floor 5: fitting mixtures to rows."""

from mixtura.fit.driver import Fit, Step, run
from mixtura.fit.search import Progress, SearchResult, Trial, search

__all__ = ["Fit", "Progress", "SearchResult", "Step", "Trial", "run", "search"]
