"""Delimited text as a stream: read once, block by block, and spilled as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.cells import cells
from mixtura.sources.picking import EMPTY
from mixtura.sources.streams.identity import Identity
from mixtura.sources.streams.raw import RawStream
from mixtura.sources.streams.spill import spilled
from mixtura.sources.streams.stream import chosen
from mixtura.sources.tables import Table
from mixtura.sources.textblocks import BLOCK, text_blocks
from mixtura.typing import FloatArray

__all__ = ["text_stream"]


def text_stream(
    path: Path,
    columns: Sequence[str] | None = None,
    weight: str | None = None,
    *,
    folder: Path | None = None,
    size: int = BLOCK,
    watch: Any = None,
) -> RawStream:
    """A CSV or TSV file as a stream, by way of a temporary file of float64 numbers.

    Parameters
    ----------
    path : Path
    columns : sequence of str, optional
        All by default, which must then be numbers.
    weight : str, optional
        The column that holds weights.
    folder : Path, optional
        Where the temporary file is to lie.
    size : int
        Bytes of text that are parsed at a time.
    watch : callable (int) -> None, optional
        Told the rows so far.
    """
    identity = Identity.of(path)
    found = text_blocks(path, size)
    first = next(found, None)
    if first is None:
        raise InputError(f"expected rows in {path}, got none; check how it was written")
    taken = chosen(str(path), first.names, columns, weight)
    notes: list[str] = []

    def pieces() -> Iterator[tuple[FloatArray, FloatArray | None]]:
        done = 0
        for table in chain([first], found):
            notes.extend(table.notes)
            x = np.empty((table.n, len(taken)))
            for j, name in enumerate(taken):
                x[:, j] = _numbers(table, name, path, done)
            w = None if weight is None else _numbers(table, weight, path, done)
            yield x, w
            done += table.n
            if watch is not None:
                watch(done)
            identity.check()

    why = "text is read once, and numbers faster"
    stream = spilled(pieces(), str(path), folder=folder, columns=taken, why=why)
    stream.notes = (*dict.fromkeys(notes), *stream.notes)
    return stream


def _numbers(table: Table, name: str, path: Path, before: int) -> FloatArray:
    """A column of a block as numbers, NaN where a cell is missing."""
    found = cells(table.column(name))
    if found.values is not None:
        return found.values
    if found.reason == EMPTY:
        return np.full(table.n, np.nan)
    raise InputError(
        f"expected numbers in column {name!r} of {path}, got {found.reason} (in rows "
        f"{before + 1:,} to {before + table.n:,}); leave it out or turn it into numbers"
    )
