"""Floor 9: figures, as functions that draw on matplotlib's Axes.

Each takes ``ax=``, draws there and returns it; without it, on a new figure. Nothing global is
touched: no ``rcParams``, no style, and pyplot only where a new figure is asked for. matplotlib
comes with the extra ``cli`` and is imported when something is drawn.
"""

from mixtura.plot.band import band
from mixtura.plot.bic import bic
from mixtura.plot.certainty import certainty
from mixtura.plot.density import density
from mixtura.plot.ellipses import ellipses
from mixtura.plot.histogram import histogram
from mixtura.plot.matrix import scatter_matrix
from mixtura.plot.palette import LIGHT, Palette
from mixtura.plot.pit import pit
from mixtura.plot.scatter import scatter
from mixtura.plot.trace import trace

__all__ = [
    "LIGHT",
    "Palette",
    "band",
    "bic",
    "certainty",
    "density",
    "ellipses",
    "histogram",
    "pit",
    "scatter",
    "scatter_matrix",
    "trace",
]
