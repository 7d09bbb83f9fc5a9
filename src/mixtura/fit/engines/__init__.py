"""Engines: how the E-step visits the rows. One engine per file."""

from typing import Any

from mixtura.errors import InputError
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
    """An engine, by its name or as it is."""
    return ENGINES[engine]() if isinstance(engine, str) else engine


def engine_for(rows: Rows, engine: Any) -> Any:
    """The same for rows that may be streamed, of which nothing is remembered from pass to pass.

    Raises
    ------
    InputError
        For a truncated engine and rows that are streamed: it keeps candidates of every row.
    """
    found = engine_of(engine)
    if not isinstance(rows, Streamed):
        return found
    if isinstance(found, Truncated):
        raise InputError(
            "expected engine='dense' or 'auto' with rows that are streamed, got 'truncated'; raise "
            "memory until the rows fit, or read them into an array"
        )
    return Chunked(Dense() if isinstance(found, Auto) else found)
