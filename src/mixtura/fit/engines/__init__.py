"""Engines: how the E-step visits the rows. One engine per file."""

from typing import Any

from mixtura.fit.engines.auto import Auto
from mixtura.fit.engines.chunked import Chunked
from mixtura.fit.engines.dense import Dense
from mixtura.fit.engines.truncated import Truncated
from mixtura.sources import Rows
from mixtura.sources.streamed import Streamed

__all__ = ["ENGINES", "Auto", "Chunked", "Dense", "Truncated", "engine_for", "engine_of"]

#: Names -> engines; "auto" is the one that is right for most fits.
ENGINES = {"auto": Auto, "dense": Dense, "truncated": Truncated}


def engine_of(engine: Any) -> Any:
    """An engine, by its name, by its class, or as it is."""
    found = ENGINES[engine] if isinstance(engine, str) else engine
    return found() if isinstance(found, type) else found


def engine_for(rows: Rows, engine: Any) -> Any:
    """The same for rows that may be streamed.

    An engine that does not visit chunks as it visits whole tables says by ``for_chunks`` which one
    does, or raises an error.
    """
    found = engine_of(engine)
    if not isinstance(rows, Streamed):
        return found
    return Chunked(found.for_chunks() if hasattr(found, "for_chunks") else found)
