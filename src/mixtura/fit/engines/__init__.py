"""Engines: how the E-step visits the rows. One engine per file."""

from typing import Any

from mixtura.fit.engines.auto import Auto
from mixtura.fit.engines.dense import Dense
from mixtura.fit.engines.truncated import Truncated

__all__ = ["ENGINES", "Auto", "Dense", "Truncated", "engine_of"]

#: Names -> engines; "auto" is the one that is right for most fits.
ENGINES = {"auto": Auto, "dense": Dense, "truncated": Truncated}


def engine_of(engine: Any) -> Any:
    """An engine, by its name or as it is."""
    return ENGINES[engine]() if isinstance(engine, str) else engine
