"""Engines: how the E-step visits the rows. One engine per file."""

from mixtura.fit.engines.chunked import Chunked
from mixtura.fit.engines.dense import Dense

__all__ = ["ENGINES", "Chunked", "Dense"]

#: Names -> engines; "auto" is the one that is right for most fits.
ENGINES = {"auto": Dense, "dense": Dense}
